/** Answers requests beside the page, several at once in turns: between forward passes each can be stopped. */

import type * as Runtime from 'onnxruntime-web/wasm'
import type { Puzzle } from '../backend'
import { mapsOf } from '../side'
import { influence, mostLikely, sample, sizeOf, type Progress } from './filling'
import type { Note } from './note'
import { InputError } from './predictor'
import { TrainedPredictor, networkOf, type Network } from './trained'

export type Request =
  | { call: 'start'; wasm: ArrayBuffer }
  | { call: 'load'; model: string; graph: Uint8Array; note: Note }
  | { call: 'marginals' | 'mostLikely' | 'attention'; model: string; puzzle: Puzzle; seed: number }
  | { call: 'sample'; model: string; puzzle: Puzzle; seed: number; n: number; refine: number }
  | { call: 'influence'; model: string; puzzle: Puzzle; seed: number; cell: number }
export type ToWorker = { id: number; request: Request } | { id: number; cancel: true }
export type FromWorker = { id: number } & ({ progress: number } | { result: unknown } | { error: string })

declare const ort: typeof Runtime // in the worker's script before this
const PROGRESS_MS = 50 // at least between two reports of it

const models = new Map<string, Promise<{ network: Network; note: Note }>>()
const stops = new Map<number, AbortController>()
let started: Promise<void> = Promise.resolve()

self.onmessage = async ({ data }: MessageEvent<ToWorker>) => {
  if ('cancel' in data) return stops.get(data.id)?.abort()
  const { id, request } = data
  const stop = new AbortController()
  stops.set(id, stop)
  try {
    post({ id, result: await answer(request, stop.signal, (progress) => post({ id, progress })) })
  } catch (error) {
    post({ id, error: error instanceof InputError ? error.message : `the page fails (${String(error)})` })
  } finally {
    stops.delete(id)
  }
}

const post = (message: FromWorker) => self.postMessage(message)

async function answer(request: Request, signal: AbortSignal, report: Progress): Promise<unknown> {
  if (request.call === 'start') return (started = start(request.wasm))
  if (request.call === 'load') {
    models.set(request.model, load(request.graph, request.note))
    await models.get(request.model)
    return null
  }
  const { network, note } = await models.get(request.model)!
  const predictor = new TrainedPredictor(network, note, async () => {
    await nextTask()
    signal.throwIfAborted()
  })
  const { puzzle, seed } = request, maps = mapsOf(puzzle, predictor.side)
  const progress = seldom(report)
  if (request.call === 'sample') return sample(predictor, puzzle, request.n, seed, progress, request.refine)
  if (request.call === 'mostLikely') return mostLikely(predictor, puzzle, seed, progress)
  if (request.call === 'influence') return influence(predictor, puzzle, request.cell, progress)
  if (request.call === 'attention') return predictor.attention(sizeOf(puzzle), puzzle.cells, maps)
  return Float32Array.from((await predictor.marginals(sizeOf(puzzle), [puzzle.cells], maps))[0]!)
}

async function start(wasm: ArrayBuffer): Promise<void> {
  ort.env.wasm.numThreads = 1 // more need headers that no file has
  const stream = new Blob([wasm]).stream().pipeThrough(new DecompressionStream('gzip'))
  ort.env.wasm.wasmBinary = await new Response(stream).arrayBuffer()
}

async function load(graph: Uint8Array, note: Note): Promise<{ network: Network; note: Note }> {
  await started
  const session = await ort.InferenceSession.create(graph, { executionProviders: ['wasm'] }).catch((error: unknown) => {
    const why = String(error).replace(/\s+/g, ' ').slice(0, 200)
    throw new InputError(`this is not an exported model, or it is truncated (${why})`)
  })
  if (session.inputNames.join() !== (note.side?.length ? 'tokens,side' : 'tokens') || !session.outputNames.includes('logits')) {
    throw new InputError('this is an ONNX file, but its inputs and outputs are not those of an exported model')
  }
  return { network: networkOf(session, ort.Tensor), note }
}

/** Let messages in that wait; a timer would wait four milliseconds. */
const channel = new MessageChannel()
const waiting: (() => void)[] = []
channel.port1.onmessage = () => waiting.shift()!()
function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve)
    channel.port2.postMessage(null)
  })
}

function seldom(report: Progress): Progress {
  let last = -Infinity
  return (share) => {
    if (performance.now() - last < PROGRESS_MS) return
    last = performance.now()
    report(share)
  }
}
