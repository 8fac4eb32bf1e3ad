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
CHARACTERS = [*map(ord, " \u00a0\u2009§¬¯°±´·×÷ıȷˆˇ˘˙˚˜‖‘’“”†‡…′″‴\u2061\u2062\u2063ϑϕϖϱϵℂℋℎℐℒℓℕℙℚℛℜℝℤℬℰℱℳ←↑→↓↔↦⇐⇒⇔⟵⟶⟷⟸⟹⟺"
                   "∀∂∃∅∆∇∈∉∋∏∐∑−∓∗∘√∝∞∠∣∥∧∨∩∪∫∮∼≃≅≈≔≠≡≤≥≪≫⊂⊃⊆⊇⊕⊖⊗⊙⊤⊥⋀⋁⋂⋃⋅⋆⋮⋯⋱⌀⌈⌉⌊⌋⏞⏟⟨⟩"),
              *range(0x21, 0x7F), *range(0x391, 0x3AA), *range(0x3B1, 0x3CA),      # Latin, Greek
              *range(0x239B, 0x23B4), *range(0x1D434, 0x1D468), *range(0x1D6A4, 0x1D6A6), *range(0x1D6E2, 0x1D71C),     # pieces of brackets; italic, of which ℎ stands above
              *range(0x1D49C, 0x1D4B6), *range(0x1D538, 0x1D552)]                  # script and double-struck capitals


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


def one_size_of_scripts(font):
    "Let an index of an index take the shapes of an index: their own are half of the font, and hardly differ."
    gsub = font["GSUB"].table
    for index in {i for record in gsub.FeatureList.FeatureRecord if record.FeatureTag == "ssty" for i in record.Feature.LookupListIndex}:
        for table in gsub.LookupList.Lookup[index].SubTable:
            table = getattr(table, "ExtSubTable", table)
            table.alternates = {name: shapes[:1]*len(shapes) for name, shapes in table.alternates.items()}


def main(source):
    options = subset.Options(flavor="woff2", layout_features=["ssty", "dtls", *SIZES], hinting=False,
                             desubroutinize=False, notdef_outline=True, name_IDs=[0, 1, 2, 3, 4, 5, 6, 13, 14])
    options.drop_tables += ["FFTM"]
    font = subset.load_font(source, options)
    add_sizes(font)
    one_size_of_scripts(font)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=CHARACTERS)
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
