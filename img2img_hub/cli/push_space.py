"""The command that publishes a page of models as a Gradio Space.

python -m img2img_hub push-space alice/translators --models model_cards/facades-label2photo --dry_run
"""

from typing import Annotated

import tyro

from img2img_hub.cli.shared import private_or_public


def push_space(
    repo_id: Annotated[str, tyro.conf.Positional],
    *,
    models: tuple[str, ...] = ("model_cards",),
    title: str | None = None,
    short_description: str | None = None,
    hardware: str | None = None,
    private: bool = False,
    public: bool = False,
    dry_run: bool = False,
) -> int:
    """Create or update a Gradio Space with the web page on the models of your choice.

    Log in first: `hf auth login`, or set HF_TOKEN. Choose its hardware in the Space's settings on the Hub.

    Args:
        repo_id: user/name of the Space; made if it is not there.
        models: Folders of models (or that hold several), which go along, and Hub ids (user/model), which are named.
        title: What the Space is called; default: its name in words.
        short_description: A line for its thumbnail, at most 60 characters.
        hardware: Hardware to suggest in its README, such as t4-small; zero-a10g writes requirements for ZeroGPU.
        private: Make a new Space private; default: where what a model was made of is private or gated on the Hub.
        public: Make a new Space public whatever it was made of.
        dry_run: Print the files and what the written ones say; send nothing.
    """
    from img2img_hub.hub.privacy import in_brackets, why_private
    from img2img_hub.hub.space import make_space
    from img2img_hub.hub.space import push_space as push

    wish = private_or_public(private=private, public=public)
    title = title or repo_id.split("/")[-1].replace("-", " ").replace("_", " ").capitalize()
    space = make_space(models, title=title, short_description=short_description, hardware=hardware)
    if dry_run:
        for name in space.files:
            print(f"{space.size(name):>12,} {name}")
        for name, file in space.files.items():
            if isinstance(file, bytes):
                print(f"\n--- {name} ---\n{file.decode()}", end="")
        print(f"\n{len(space.files)} files, {sum(map(space.size, space.files)) / 1e6:.1f} MB; nothing was sent")
        return 0
    url = push(repo_id, space, private=wish)
    print(f"pushed to {url}{in_brackets(why_private(**space.origin) if wish is None else [])}")
    return 0
