/** All of onnxruntime-web that the worker uses, as one global. */

export { env, InferenceSession, Tensor } from 'onnxruntime-web/wasm'
