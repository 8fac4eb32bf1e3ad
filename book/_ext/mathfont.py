"""Make book/_static/fonts/mathematics.woff2, the part of Latin Modern Math that a page needs, and the list of its characters:

    pip install fonttools brotli
    python book/_ext/mathfont.py latinmodern-math.otf

The font is in every TeX distribution, and at http://www.gust.org.pl/projects/e-foundry/lm-math.
"""
import sys
from copy import deepcopy
from pathlib import Path

from fontTools import subset
from fontTools.otlLib.builder import buildLookup, buildSingleSubstSubtable
from fontTools.ttLib.tables import otTables

HERE = Path(__file__).resolve().parent
OUT, LIST = HERE.parent / "_static" / "fonts" / "mathematics.woff2", HERE / "temml" / "characters.txt"
NAME = "d2c Mathematics"    # the font's licence asks that what is changed be called something else
CHARACTERS = [(0x20, 0x7E), (0xA0, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7), (0x131, 0x131), (0x237, 0x237),   # Latin
              (0x2C6, 0x2DC), (0x300, 0x338), (0x391, 0x3F6), (0x2010, 0x2063), (0x20D0, 0x20E1),       # accents, Greek, spaces
              (0x2102, 0x213F), (0x2190, 0x2194), (0x21A6, 0x21A6), (0x21D0, 0x21D4), (0x27F5, 0x27FA),  # letters, arrows
              (0x2200, 0x22FF), (0x25A0, 0x25A1), (0x2A00, 0x2A06), (0x2A7D, 0x2A7E),                   # operators
              (0x2300, 0x230B), (0x2329, 0x232A), (0x239B, 0x23B5), (0x23DC, 0x23DF), (0x27E8, 0x27E9),  # brackets and their pieces
              (0x1D434, 0x1D467), (0x1D6A4, 0x1D6A5), (0x1D6E2, 0x1D71B),                               # italic
              (0x1D49C, 0x1D4B5), (0x1D538, 0x1D551)]                                                   # script and double-struck capitals


SIZES = {"ss01": 1200, "ss02": 1800, "ss03": 2400}      # \big, \Big and \bigg, in thousandths


def add_sizes(font):
    """Give each size of brackets and bars a stylistic set.

    Stretched to a size the browser would find them too, but Chromium leaves as much space for each as for the largest.
    """
    gsub, variants, names = font["GSUB"].table, font["MATH"].table.MathVariants, font.getBestCmap()
    constructions = dict(zip(variants.VertGlyphCoverage.glyphs, variants.VertGlyphConstruction))
    signs = {names[ord(sign)]: constructions[names[ord(sign)]].MathGlyphVariantRecord for sign in "()[]{}⌊⌋⌈⌉⟨⟩/|‖"}
    default = deepcopy(gsub.ScriptList.ScriptRecord[0])
    default.ScriptTag = "DFLT"
    for tag, size in SIZES.items():
        nearest = {name: min(records, key=lambda r: abs(r.AdvanceMeasurement - size)).VariantGlyph for name, records in signs.items()}
        gsub.LookupList.Lookup.append(buildLookup([buildSingleSubstSubtable(nearest)]))
        record = otTables.FeatureRecord()
        record.FeatureTag, record.Feature = tag, otTables.Feature()
        record.Feature.FeatureParams, record.Feature.LookupListIndex = None, [len(gsub.LookupList.Lookup) - 1]
        gsub.FeatureList.FeatureRecord.append(record)
        default.Script.DefaultLangSys.FeatureIndex.append(len(gsub.FeatureList.FeatureRecord) - 1)
    gsub.ScriptList.ScriptRecord = [default, gsub.ScriptList.ScriptRecord[0]]
    for table, items in ((gsub.LookupList, "Lookup"), (gsub.FeatureList, "FeatureRecord"), (gsub.ScriptList, "ScriptRecord"),
                         (default.Script.DefaultLangSys, "FeatureIndex")):
        setattr(table, f"{items.removesuffix('Record').removesuffix('Index')}Count", len(getattr(table, items)))


def main(source):
    options = subset.Options(flavor="woff2", layout_features=["ssty", "dtls", *SIZES], hinting=False,
                             desubroutinize=False, notdef_outline=True, name_IDs=[0, 1, 2, 3, 4, 5, 6, 13, 14])
    options.drop_tables += ["FFTM"]
    font = subset.load_font(source, options)
    add_sizes(font)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[code for first, last in CHARACTERS for code in range(first, last + 1)])
    subsetter.subset(font)
    constants = font["MATH"].table.MathConstants    # where an index stands under a letter like q, and an exponent at a bracket: as in TeX's cmsy10
    constants.SubscriptBaselineDropMin.Value, constants.SuperscriptBaselineDropMax.Value = 50, 386
    for record in font["name"].names:
        if record.nameID in (1, 3, 4, 6): record.string = NAME.replace(" ", "") if record.nameID == 6 else NAME
    LIST.write_text("".join(map(chr, sorted(font.getBestCmap()))) + "\n", encoding="utf-8")
    subset.save_font(font, OUT, options)
    print(f"{OUT}: {OUT.stat().st_size:,} bytes, {len(font.getGlyphOrder())} glyphs")


if __name__ == "__main__":
    main(sys.argv[1])
