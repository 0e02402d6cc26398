# What all configs of classifiers share, in mmpretrain's scope.
_base_ = './default_runtime.py'

default_scope = 'mmpretrain'
default_hooks = dict(visualization=dict(_delete_=True, type='VisualizationHook', enable=False))
custom_hooks = [dict(type='FiniteLossHook'), dict(type='ChannelsLastHook')]
visualizer = dict(type='UniversalVisualizer')
