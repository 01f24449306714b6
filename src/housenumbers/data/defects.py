"""How far a rendered crop can be from a clean digit: chances, and strengths at difficulty 1.

The page of `python src/report.py data=synthetic` shows each kind of defect alone: docs/images/defects.png.
"""

from dataclasses import dataclass, replace

Range = tuple[float, float]  # of a uniform distribution


@dataclass(frozen=True)
class Defects:
    """Lengths are in heights of a digit, light is in 0..1. "std" is the standard deviation of a normal distribution.

    The values were chosen by eye beside real crops, and by the accuracy of a model trained on rendered crops alone on
    the validation crops of SVHN-6k.
    """

    # The digits
    neighbours: Range = (0.75, 0.5)  # the chance of a first and of a second digit on each side, from difficulty 0.5 on
    gap: Range = (-0.03, 0.3)  # between digits
    stroke_weight: float = 0.025  # std of what each stroke gains on both sides
    outline: float = 0.15  # chance of an outline
    outline_width: Range = (0.03, 0.1)
    gloss: float = 0.15  # std of the change of light across the digits' faces
    shadow: float = 0.4  # chance that the digits throw a shadow, or show their sides
    shadow_offset: float = 0.05  # std, for each axis
    shadow_softness: Range = (0.02, 0.12)
    shadow_depth: Range = (0.2, 0.8)  # the share of the light that it takes

    # The view
    rotation: float = 0.16  # std, in radians
    shear: float = 0.2  # std, horizontal
    stretch: float = 0.25  # std of the logarithm of width / height
    tilt: float = 0.12  # std of the perspective, for each axis
    shift: float = 0.07  # std, in sides of the crop
    zoom_in: float = 0.26  # the digit takes 0.8 of the crop, plus this,
    zoom_out: float = 0.6  # and less a random share of this

    # The wall and the paint
    low_contrast: float = 1.0  # 1: a contrast of 0.9 can fall to 0.07
    least_contrast: float = 0.0
    light_colour: float = 0.1  # std of the colour of the light
    paint_colour: float = 0.25  # mean strength of the colours of wall, digits and outline
    stains: float = 0.06  # std
    joints: float = 0.2  # chance of boards or bricks
    joint_period: Range = (0.15, 0.8)
    joint_width: Range = (0.05, 0.3)  # the share of a period
    joint_depth: float = 0.12  # std of their light
    plate_edge: float = 0.3  # chance that a plate ends within the crop, for each side
    plate_margin: Range = (0.08, 0.5)
    plate_contrast: float = 0.25  # std of the light behind the plate
    oval_plate: float = 0.12  # chance
    posts: float = 0.0  # chance of a bar beside, above or below the digits
    post_distance: Range = (0.1, 0.5)
    post_width: Range = (0.04, 0.4)
    frame: float = 0.35  # chance of a line around the plate
    frame_width: Range = (0.02, 0.06)

    # The photo
    light_slope: float = 0.3  # std of the change of light across the crop, for each axis
    cast_shadow: float = 0.12  # chance that the shadow of something else falls over the crop
    cast_shadow_depth: Range = (0.2, 0.6)
    fringe: float = 0.0  # std of the shift of red and blue, in pixels of a canvas 64 high, for each axis
    least_blur: float = 0.0  # radius, in the same pixels
    blur: float = 1.9  # the mean radius that adds to it
    low_resolution: float = 0.8  # std of the logarithm of 32 / pixels of the photo
    sharpening: float = 0.3  # chance
    sharpening_percent: Range = (50, 200)
    noise: float = 0.02  # mean of its standard deviation
    compression: float = 65  # JPEG quality can fall from 95 by this


ALL_DEFECTS = Defects()
# Of whole numbers: by eye beside real ones, and by their contrast, sharpness, colours and widths.
NUMBER_DEFECTS = replace(
    ALL_DEFECTS,
    low_contrast=1.35, least_contrast=0.14, paint_colour=0.16, frame=0.2, posts=0.2, fringe=1.0,
    least_blur=1.6, blur=1.3, low_resolution=0.55, noise=0.006,
)  # fmt: skip

_NONE = Defects(
    neighbours=(0, 0), stroke_weight=0, outline=0, gloss=0, shadow=0, rotation=0, shear=0, stretch=0, tilt=0, shift=0,
    zoom_in=0, zoom_out=0, low_contrast=0, light_colour=0, paint_colour=0, stains=0, joints=0, plate_edge=0,
    oval_plate=0, frame=0, light_slope=0, cast_shadow=0, blur=0, low_resolution=0, sharpening=0, noise=0, compression=0,
)  # fmt: skip

# Which fields make up one kind of defect. Chances are 1 there: every crop shows the kind.
_KINDS: dict[str, dict[str, float | Range]] = {
    "neighbours": {"neighbours": (1, 1)},
    "stroke weight": {"stroke_weight": ALL_DEFECTS.stroke_weight},
    "outline": {"outline": 1},
    "gloss": {"gloss": ALL_DEFECTS.gloss},
    "shadow of digits": {"shadow": 1},
    "rotation": {"rotation": ALL_DEFECTS.rotation},
    "shear, stretch": {"shear": ALL_DEFECTS.shear, "stretch": ALL_DEFECTS.stretch},
    "perspective": {"tilt": ALL_DEFECTS.tilt},
    "shift, zoom": {name: getattr(ALL_DEFECTS, name) for name in ("shift", "zoom_in", "zoom_out")},
    "low contrast": {"low_contrast": ALL_DEFECTS.low_contrast},
    "colours": {"light_colour": ALL_DEFECTS.light_colour, "paint_colour": ALL_DEFECTS.paint_colour},
    "stains": {"stains": ALL_DEFECTS.stains},
    "boards, bricks": {"joints": 1},
    "plate": {"plate_edge": 0.7, "frame": 1},
    "uneven light": {"light_slope": ALL_DEFECTS.light_slope},
    "cast shadow": {"cast_shadow": 1},
    "blur": {"blur": ALL_DEFECTS.blur},
    "low resolution": {"low_resolution": ALL_DEFECTS.low_resolution},
    "sharpening": {"sharpening": 1},
    "noise": {"noise": ALL_DEFECTS.noise},
    "compression": {"compression": ALL_DEFECTS.compression},
}


def single_defects() -> dict[str, Defects]:
    """By name: no defects, each kind alone, and all of them."""
    kinds = {name: replace(_NONE, **fields) for name, fields in _KINDS.items()}  # type: ignore[arg-type]
    return {"none": _NONE, **kinds, "all": ALL_DEFECTS}
