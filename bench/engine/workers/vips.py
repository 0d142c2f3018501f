"""libvips through pyvips, as its documentation has people make thumbnails."""

import pyvips
from protocol import serve

# No operation is to be remembered from one round to the next. VIPS_CONCURRENCY=1 comes from outside.
pyvips.cache_set_max(0)


def render(data, request):
    # Reduces while it decodes, and turns the picture upright.
    small = pyvips.Image.thumbnail_buffer(data, request["size"], height=request["size"], size="down")
    if request["format"] == "png":
        thumbnail = small.pngsave_buffer(keep="icc")
    else:
        # The profile stays, since the pixels are still in it; the camera's data goes, as everywhere else.
        thumbnail = small.jpegsave_buffer(Q=request["quality"], background=[255], keep="icc")
    return thumbnail, small.width, small.height


version = ".".join(str(pyvips.version(part)) for part in range(3))
serve(render, ready=f"libvips {version}, pyvips {pyvips.__version__}")
