"""libvips through pyvips, used as in its documentation."""

import pyvips
from protocol import serve

# No operation is cached between rounds. VIPS_CONCURRENCY=1 comes from outside.
pyvips.cache_set_max(0)


def render(data, request):
    # Reduces while it decodes, and rotates the image upright.
    small = pyvips.Image.thumbnail_buffer(data, request["size"], height=request["size"], size="down")
    if request["format"] == "png":
        thumbnail = small.pngsave_buffer(keep="icc")
    else:
        # The profile is retained, since the pixels are not converted; camera metadata is removed, as by the others.
        thumbnail = small.jpegsave_buffer(Q=request["quality"], background=[255], keep="icc")
    return thumbnail, small.width, small.height


version = ".".join(str(pyvips.version(part)) for part in range(3))
serve(render, ready=f"libvips {version}, pyvips {pyvips.__version__}")
