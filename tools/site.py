"""A hook of mkdocs for what mkdocs.yml cannot say: the site has Chinese pages among English ones."""

from __future__ import annotations

from typing import Any

from pymdownx.slugs import slugify


def on_config(config: Any) -> Any:
    """Anchors as GitHub makes them, of a Chinese heading too, which would be a number otherwise."""
    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")
    return config


def on_post_page(output: str, page: Any, config: Any) -> str:
    """A Chinese page says that it is one, so that browsers choose Chinese shapes and punctuation."""
    if not page.file.src_uri.startswith("zh/"):
        return output
    assert '<html lang="en"' in output, "the theme writes the page's language in another way now"
    return output.replace('<html lang="en"', '<html lang="zh-CN"', 1)
