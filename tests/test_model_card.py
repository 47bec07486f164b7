"""Model cards: python -m pytest tests/test_model_card.py"""

import dataclasses
import math
import re
from typing import Any

import pytest
from huggingface_hub import ModelCard

from img2img_hub.hub.card import BEGIN, END, CardFacts, CardMetric, merge_card, render_model_card, with_repo_ids
from img2img_hub.hub.front_matter import cut, keys_of, written
from tests.hub.cards import check_card

FACTS = CardFacts(
    model_name="facades-label2photo",
    repo_id="alice/facades-label2photo",
    family="pix2pix",
    direction="label maps to photos",
    architecture={"architecture": "UNetGenerator", "format_version": 1, "levels": 8, "norm": "batch"},
    parameters=7_712_345,
    datasets=("alice/facades",),
    data_description="400 pairs | for training",
    dataset_note="The data are for research.",
    license="other",
    training_command="accelerate launch train_accelerate.py \\\n    pix2pix --dataset alice/facades\n",
    hardware="2 CPU cores",
    steps=5400,
    epochs=13.5,
    batch_size=1,
    image_size=256,
    training_seconds=4810.2,
    precision="float32, saved as float16",
    torch_version="2.13.0",
    metrics=(
        CardMetric("l1", 0.1781234, "test", "alice/facades", label="L1 (values in 0–1, lower is better)"),
        CardMetric("ssim", 0.235, "test", "alice/facades", "best"),
    ),
    weights="These are the weights of the last step, 5,400.",
    norm_statistics="image",
    working_size=256,
    reverse="alice/facades-photo2label",
    sample_sheet="sample_sheet.png",
    limitations="It has seen facades only.",
    citation="Isola et al. 2017, arXiv:1611.07004",
)
BARE = CardFacts(model_name="maps")


def front_matter(card: str) -> Any:
    """As huggingface_hub reads it."""
    return ModelCard(card).data


@pytest.mark.parametrize("facts", [FACTS, BARE], ids=["all facts", "name only"])
def test_the_hub_accepts_the_front_matter(facts: CardFacts) -> None:
    assert check_card(render_model_card(facts), "model") == ([], [])


def test_the_front_matter_says_what_was_measured() -> None:
    data = front_matter(render_model_card(FACTS))
    assert (data.library_name, data.pipeline_tag, data.license) == ("img2img_hub", "image-to-image", "other")
    assert data.datasets == ["alice/facades"]
    assert {"pix2pix", "img2img_hub"} <= set(data.tags)
    assert data.model_name == "facades-label2photo"
    assert [(r.metric_type, r.metric_value, r.dataset_split, r.dataset_type) for r in data.eval_results] == [
        ("l1", 0.178123, "test", "alice/facades"),
        ("ssim", 0.235, "test", "alice/facades"),
    ]
    assert [result.metric_name for result in data.eval_results] == ["l1 (last step)", "ssim (best step)"]


def test_every_fact_is_told() -> None:
    text = ModelCard(render_model_card(FACTS)).text
    for words in (
        "# facades-label2photo",
        "Translates images: label maps to photos.",
        "(sample_sheet.png)",
        'Translator.from_pretrained("alice/facades-label2photo")',
        'Translator.from_pretrained("alice/facades-photo2label")',
        "256 × 256 pixels and knows",
        "each image's own statistics",
        "\n\nThese are the weights of the last step, 5,400.\n\n| metric | value |",
        "| L1 (values in 0–1, lower is better) | 0.1781 | alice/facades | test | last step |",
        "| ssim | 0.235 | alice/facades | test | best step |",
        "`UNetGenerator(levels=8, norm=batch)`",
        "| Data | `alice/facades`; 400 pairs \\| for training |",
        "| Parameters | 7.71 million |",
        "| Steps | 5,400 (13.5 epochs) |",
        "| Images a step | 1 |",
        "| Image size | 256 × 256 pixels |",
        "| Time | 1 h 20 min |",
        "| Hardware | 2 CPU cores |",
        "| Precision | float32, saved as float16 |",
        "| PyTorch | 2.13.0 |",
        "```bash\naccelerate launch train_accelerate.py \\\n    pix2pix --dataset alice/facades\n```",
        "It has seen facades only.",
        "The author of this model has not said under which terms the weights may be used.",
        "The data are for research.",
        "Isola et al. 2017, arXiv:1611.07004",
    ):
        assert words in text, words


def test_the_size_of_training_and_that_of_use_are_told_apart() -> None:
    assert "trained on images of 256 × 256 pixels and knows" in render_model_card(FACTS)
    card = render_model_card(dataclasses.replace(FACTS, working_size=512))
    assert "on parts of 256 × 256 pixels and knows objects best where\na whole image has 512 × 512." in card


def test_which_weights_these_are_is_said_without_numbers_too() -> None:
    card = render_model_card(dataclasses.replace(BARE, weights="These are the weights of step 3 of 9."))
    assert card.count("\nThese are the weights of step 3 of 9.\n") == 1
    assert "How good" not in card


def test_a_license_is_named_and_linked() -> None:
    assert "The weights: `mit`." in render_model_card(dataclasses.replace(BARE, license="mit"))
    named = dataclasses.replace(BARE, license="other", license_name="cmp", license_link="https://example.com/cmp")
    assert "The weights: [`cmp`](https://example.com/cmp)." in render_model_card(named)


def test_what_is_not_known_is_left_out() -> None:
    card = render_model_card(BARE)
    for word in ("None", "Limits", "License", "How", "Paper", "bash", "|", "  ", "opposite", "license", "\n\n\n"):
        assert word not in card, word
    assert not {"datasets", "model-index", "metrics", "license"} & set(front_matter(card).to_dict())
    for field in dataclasses.fields(CardFacts):  # each fact alone, so that no section leans on another
        if field.name != "model_name":
            alone = render_model_card(dataclasses.replace(BARE, **{field.name: getattr(FACTS, field.name)}))
            assert not re.search("None|\n\n\n", alone), field.name
            assert check_card(alone, "model") == ([], []), field.name


def test_a_local_folder_is_described_but_not_linked() -> None:
    facts = dataclasses.replace(
        BARE, datasets=("../data/facades",), metrics=(CardMetric("l1", 0.2, "test", "../data/my facades"),)
    )
    card = render_model_card(facts)
    assert "`../data/facades`" in card
    assert front_matter(card).datasets is None
    assert check_card(card, "model") == ([], [])


def test_a_number_that_is_none_is_shown_but_not_published() -> None:
    card = render_model_card(dataclasses.replace(BARE, metrics=(CardMetric("ssim", math.nan, "test", "d"),)))
    assert "| nan |" in card
    assert front_matter(card).eval_results is None


def test_a_card_needs_a_name() -> None:
    with pytest.raises(ValueError, match="model_name"):
        CardFacts(model_name=" ")


OLD = render_model_card(dataclasses.replace(FACTS, steps=100))
NEW = render_model_card(FACTS)


def test_a_push_over_an_untouched_card_gives_the_new_card() -> None:
    assert merge_card(OLD, NEW) == NEW == merge_card(NEW, NEW)
    assert "| 100 (" in OLD
    assert "| 5,400 (" in NEW


def test_what_people_wrote_on_the_hub_stays() -> None:
    edited = OLD.replace(BEGIN, "Please read the **paper** first.\n\n" + BEGIN) + "\n## Thanks\n\nTo all.\n"
    edited = edited.replace("tags:\n", "language: de\nthumbnail: sample_sheet.png\ntags:\n- architecture\n", 1)
    merged = merge_card(edited.replace("\n", "\r\n"), NEW)
    data = front_matter(merged)
    assert data.language == "de"
    assert data.thumbnail == "sample_sheet.png"
    assert "architecture" in data.tags
    assert "pix2pix" in data.tags
    generated = NEW[NEW.index(BEGIN) : NEW.index(END) + len(END)]
    assert ModelCard(merged).text.strip() == f"Please read the **paper** first.\n\n{generated}\n\n## Thanks\n\nTo all."
    assert merge_card(merged, NEW) == merged


def test_a_card_written_by_hand_altogether_stays_above_the_generated_part() -> None:
    text = ModelCard(merge_card("# My maps\n\nBy me.\n", NEW)).text
    assert text.startswith("\n# My maps\n\nBy me.\n\n" + BEGIN)
    assert text.count("# My maps") == 1


def test_text_added_in_the_folder_goes_up_too_but_not_twice() -> None:
    local = NEW + "\nLocal words.\n"
    once = merge_card(OLD + "\nRemote words.\n", local)
    assert once.endswith(f"{END}\n\nRemote words.\n\nLocal words.\n")
    assert merge_card(once, local) == once


def licensed(license_id: str) -> str:
    return render_model_card(dataclasses.replace(FACTS, license=license_id))


def test_a_license_changed_by_people_stays_and_one_changed_by_training_goes_up() -> None:
    by_people = licensed("other").replace("license: other", "license: cc-by-4.0\nlicense_link: LICENSE", 1)
    kept = front_matter(merge_card(by_people, licensed("apache-2.0")))
    assert (kept.license, kept.license_link) == ("cc-by-4.0", "LICENSE")
    assert front_matter(merge_card(licensed("other"), licensed("apache-2.0"))).license == "apache-2.0"
    named = licensed("other").replace("license: other", "license: other\nlicense_name: cmp", 1)
    assert front_matter(merge_card(named, licensed("other"))).license_name == "cmp"
    assert front_matter(merge_card(named, licensed("mit"))).license_name is None
    assert front_matter(merge_card("---\nlicense: mit\n---\n", licensed("other"))).license == "mit"
    assert front_matter(merge_card(licensed("mit"), render_model_card(BARE))).license == "mit"


@pytest.mark.parametrize("broken", ["---\na: [\n---\n", "---\n- a\n---\n"])
def test_a_front_matter_that_cannot_be_read_is_refused(broken: str) -> None:
    with pytest.raises(ValueError, match=r"README.md on the Hub cannot be read: .*Correct it"):
        merge_card(broken, NEW)


def test_the_example_names_the_repo_it_is_pushed_to() -> None:
    card = with_repo_ids(render_model_card(BARE) + '\ntranslator = Translator.from_pretrained("mine")\n', "bob/maps")
    assert 'from_pretrained("bob/maps")' in card
    assert 'from_pretrained("mine")' in card
    assert "path/to" not in card


@pytest.mark.parametrize("before", [render_model_card(FACTS), render_model_card(BARE)], ids=["named", "not named"])
def test_the_opposite_direction_is_named_renamed_or_left_out(before: str) -> None:
    card = with_repo_ids(before, "bob/maps", reverse="bob/photos")
    lines = [line for line in card.splitlines() if "from_pretrained" in line]
    assert [re.sub(r'.*from_pretrained\("(.*?)"\).*', r"\1", line) for line in lines] == ["bob/maps", "bob/photos"]
    assert with_repo_ids(card, "bob/maps", reverse="bob/photos") == card
    alone = with_repo_ids(card, "bob/maps")
    assert "opposite" not in alone
    assert "\n\n\n" not in card + alone


# --- front matter -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "head", "text"),
    [
        ("---\nlicense: mit\n---\n# Maps\n\n---\n", "license: mit", "# Maps\n\n---\n"),
        ("\ufeff\r\n---\r\nlicense: mit\r\n--- \r\n# Maps\r\n", "license: mit", "# Maps\n"),
        ("---\nlicense: mit\n---", "license: mit", ""),
        ("---\ntitle: a---\nb: 1\n---\n", "title: a---\nb: 1", ""),
        ("# Maps\n---\nlicense: mit\n---\n", "", "# Maps\n---\nlicense: mit\n---\n"),
        ("---\nlicense: mit\n", "", "---\nlicense: mit\n"),
        ("\ufeff# Maps\n", "", "# Maps\n"),
        ("", "", ""),
    ],
)
def test_the_front_matter_is_cut_off(card: str, head: str, text: str) -> None:
    assert cut(card) == (head, text)


@pytest.mark.parametrize("head", ["a: [", "- a\n- b", "3", "a: !!python/name:os.system", "[" * 2000, "a: 2001-99-99"])
def test_a_front_matter_that_is_no_keys_with_values_says_nothing(head: str) -> None:
    assert keys_of(f"---\n{head}\n---\n# Maps\n") == {}


def test_what_is_written_is_read_again_and_strangers_get_no_aliases() -> None:
    head = {"license": "mit", "title": "标签 " * 60, "tags": ["a", "b"]}
    top = written(head)
    assert keys_of(f"{top}# Maps\n", aliases=False) == head
    assert "标签 标签" in top
    card = "---\na: &x [1]\nb: *x\n---\n"
    assert keys_of(card) == {"a": [1], "b": [1]}
    assert keys_of(card, aliases=False) == {}
