"""Made-up film titles in MovieLens' form: `Lantern, The (1994)`."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

_ADJECTIVES = (
    "Silent", "Crimson", "Hollow", "Distant", "Broken", "Golden", "Restless", "Midnight", "Burning",
    "Forgotten", "Electric", "Wild", "Perfect", "Secret", "Lonely", "Savage", "Gentle", "Final",
    "Invisible", "Frozen", "Paper", "Northern", "Sweet", "Reckless", "Velvet", "Little", "Last", "Lucky",
)  # fmt: skip
_NOUNS = (
    "Harbor", "Lantern", "Orchard", "Cipher", "Sparrow", "Carnival", "Frontier", "Mirror", "Engine",
    "Winter", "Stranger", "Canyon", "Garden", "Letter", "Tide", "Heiress", "Detective", "Planet",
    "Waltz", "Bandit", "Lighthouse", "Promise", "Shadow", "Train", "Island", "Dream", "Kingdom",
    "Neighbor", "Summer", "Verdict", "Ghost", "Piano", "Voyage", "Season", "Daughter", "Machine",
)  # fmt: skip
_NAMES = ("Alice", "Charlie", "Dr. Moss", "Eddie", "Harriet", "Jack & Rose", "Mr. Pike", "Nora", "Oscar")
_ACCENTED = (
    "Été à Nîmes, L'", "Café de la Gare", "Señor Ibáñez", "Frère Jérôme", "Mädchen am Fluß, Das",
    "Garçon et la mer, Le", "Año del Jabalí, El", "Pièce montée", "Älven", "Crème Brûlée", "Ångström",
    "Cité perdue, La", "Corazón de piñata", "Über allen Gipfeln", "Forêt, La", "Niño y el faro, El",
)  # fmt: skip
_SEQUELS = {2: "II", 3: "III", 4: "IV", 5: "V", 6: "VI", 7: "VII", 8: "VIII", 9: "IX"}

_ACCENTED_SHARE = 0.015


def draw_titles(rng: np.random.Generator, years: Sequence[int]) -> list[str]:
    """Draw one unique title for each movie; a title that comes up again gets a sequel's number.

    Args:
        rng: Source of randomness.
        years: Release year of each movie.

    Returns:
        Titles with the year in parentheses, all of them latin-1; the first one has an accent.
    """
    accented = rng.random(len(years)) < _ACCENTED_SHARE
    accented[:1] = True
    patterns = rng.integers(8, size=len(years))
    words = rng.integers(1 << 30, size=(len(years), 3))
    uses: Counter[str] = Counter()
    titles = []
    for year, is_accented, pattern, (a, b, c) in zip(years, accented, patterns, words.tolist(), strict=True):
        adjective = _ADJECTIVES[a % len(_ADJECTIVES)]
        noun, other = _NOUNS[b % len(_NOUNS)], _NOUNS[c % len(_NOUNS)]
        name = _NAMES[a % len(_NAMES)]
        stem, article = (
            (_ACCENTED[a % len(_ACCENTED)], "")
            if is_accented
            else (
                (f"{adjective} {noun}", ", The"),
                (f"{adjective} {noun}", ""),
                (noun, ", The"),
                (f"{noun} of the {other}", ", The"),
                (f"{name}'s {adjective} {noun}", ""),
                (f"{noun}: The {adjective} {other}", ""),
                (f"{adjective} {noun} in {other}", ", A"),
                (f"{name} and the {adjective} {noun}", ""),
            )[pattern]
        )
        uses[stem] += 1
        sequel = "" if uses[stem] == 1 else f" {_SEQUELS.get(uses[stem], uses[stem])}"
        titles.append(f"{stem}{sequel}{article} ({year})")
    return titles
