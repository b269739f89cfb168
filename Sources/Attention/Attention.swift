/// One import computes: tensors, the engine's state, attention, and layers.
@_exported import AttentionCore
@_exported import AttentionLayers
@_exported import AttentionTensors
