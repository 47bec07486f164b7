"""How the page looks: Gradio's own base theme with system fonts (nothing is fetched from outside), and a little CSS."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from img2img_hub.demo.texts import T

CSS_PATH = Path(__file__).with_name("assets") / "page.css"

# Two overlapping frames, the source and its translation. Inline, so that it needs no request.
LOGO = (
    '<svg viewBox="0 0 48 48" width="40" height="40" aria-hidden="true" focusable="false">'
    '<rect x="3" y="9" width="27" height="27" rx="6" fill="none" stroke="currentColor" stroke-width="3" opacity=".45"/>'
    '<rect x="17" y="13" width="28" height="28" rx="6" fill="var(--primary-500)"/>'
    '<path d="M20 36l7-9 5 5 4-5 6 9z" fill="#fff"/><circle cx="36" cy="21" r="3" fill="#fff"/></svg>'
)
HEADER = f'<header id="masthead">{LOGO}<div><h1>img2img_hub</h1><p>{T("tagline")}</p></div></header>'


def page_theme() -> gr.themes.Base:
    """Fonts are named as strings: the visitor's own, none to download."""
    theme = gr.themes.Default(
        primary_hue="indigo",
        neutral_hue="slate",
        radius_size="lg",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
    )
    # Gradio's grey for secondary text and its blue for buttons are too pale to read (WCAG asks for a contrast of 4.5).
    return theme.set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
    )
