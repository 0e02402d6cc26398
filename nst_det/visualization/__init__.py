from .channel_overlays import draw_overlays
from .channels import match_channels, selectivity
from .comparison import draw_comparison
from .gram_matrices import draw_grams
from .layer_view import LayerView, load_image, load_test_images, merge_views, view_layers
from .pattern_clouds import draw_clouds
from .pattern_figures import pixels_of, write_figures

__all__ = [
    'LayerView',
    'draw_clouds',
    'draw_comparison',
    'draw_grams',
    'draw_overlays',
    'load_image',
    'load_test_images',
    'match_channels',
    'merge_views',
    'pixels_of',
    'selectivity',
    'view_layers',
    'write_figures',
]
