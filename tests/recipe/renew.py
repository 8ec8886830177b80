"""Writes what is made from the recipe model: `python -m tests.recipe.renew`, from the repository's top."""

from __future__ import annotations

from pathlib import Path

from lfbuild.recipe import schema_text
from lfbuild.recipe.schema import reference_text

BEGIN, END = "<!-- reference: made from the model -->\n", "<!-- end of reference -->\n"


def main() -> None:
    repository = Path(__file__).parents[2]
    (repository / "builder/lfbuild/recipe/recipe.schema.json").write_text(schema_text())
    page = repository / "docs/recipe.md"
    head, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{head}{BEGIN}\n{reference_text()}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
