/** A trained model as a Predictor: forward passes, calibrated, through windows where it learned from these. */

import type { InferenceSession, Tensor } from 'onnxruntime-web/wasm'
import { encoded, type Channel } from '../side'
import { windowOf, type Note } from './note'
import { HIDDEN, InputError, marginalsOf, type Predictor, type Size } from './predictor'
import { blended } from './tiling'

const PASS_CELLS = 2048 // in one forward pass, at least one grid: as in export.py
const MOST_BYTES = 2 ** 30 // of attention in a forward pass

/** Runs a network on tokens and the features of side maps; returns the output of that name. */
export type Network = (
  output: 'logits' | 'attention', tokens: BigInt64Array, dims: number[], features: Float32Array,
) => Promise<Float32Array>

export class TrainedPredictor implements Predictor {
  readonly symbols: number
  readonly window: Size | null
  readonly side: string[]
  private readonly channels: Channel[]

  /** `between` is awaited before each forward pass: it lets other work run, and throws to stop this one. */
  constructor(private readonly network: Network, readonly note: Note, private readonly between: () => Promise<void>) {
    this.symbols = note.config.n_symbols
    this.window = windowOf(note)
    this.channels = note.side ?? []
    this.side = this.channels.map(({ name }) => name)
  }

  async marginals(size: Size, grids: Int16Array[], maps: Float32Array[]): Promise<Float64Array[]> {
    const { window } = this
    if (window && `${size}` !== `${window}`) {
      const blends: Float64Array[] = []
      for (const cells of grids) blends.push(await blended(this, size, cells, maps, window))
      return blends
    }
    this.refuseBeyondMemory(size)
    const atOnce = Math.max(1, Math.floor(PASS_CELLS / (size[0] * size[1])))
    const answers: Float64Array[] = []
    for (let start = 0; start < grids.length; start += atOnce) {
      answers.push(...(await this.onePass(size, grids.slice(start, start + atOnce), maps)))
    }
    return answers
  }

  private async onePass(size: Size, grids: Int16Array[], maps: Float32Array[]): Promise<Float64Array[]> {
    await this.between()
    const logits = await this.run('logits', size, grids, maps)
    const count = size[0] * size[1] * this.symbols
    if (logits.length !== grids.length * count) {
      throw new InputError('the model gives other numbers of logits than cells and symbols: use the original file')
    }
    if (!logits.every(Number.isFinite)) {
      throw new InputError('the model gives logits that are no finite numbers: use the original file, or train again')
    }
    return grids.map((cells, number) =>
      marginalsOf(logits.subarray(number * count, (number + 1) * count), cells, size, this.symbols, this.note.calibration))
  }

  /** The weights of each layer, head, query patch and key patch. */
  async attention(size: Size, cells: Int16Array, maps: Float32Array[]) {
    const { depth: layers, heads, patch } = this.note.config
    this.refuseBeyondMemory(size)
    await this.between()
    const weights = await this.run('attention', size, [cells], maps)
    const patches = size.map((side) => Math.ceil(side / patch)) as [number, number]
    if (weights.length !== layers * heads * (patches[0] * patches[1]) ** 2) {
      throw new InputError('the attention weights of the model do not fit its header: use the original file')
    }
    return { layers, heads, patches, patch, weights }
  }

  private run(output: 'logits' | 'attention', size: Size, grids: Int16Array[], maps: Float32Array[]): Promise<Float32Array> {
    const tokens = new BigInt64Array(grids.length * size[0] * size[1])
    grids.forEach((cells, number) => cells.forEach((symbol, cell) => {
      if (symbol < HIDDEN || symbol >= this.symbols) {
        const place = `cell (row ${Math.floor(cell / size[1])}, column ${cell % size[1]}) is ${symbol}`
        throw new InputError(`${place}: a visible cell is a symbol 0…${this.symbols - 1}`)
      }
      tokens[number * cells.length + cell] = BigInt(symbol === HIDDEN ? this.symbols : symbol)
    }))
    const features = maps.length ? encoded(this.channels, maps) : []
    return this.network(output, tokens, [grids.length, ...size], Float32Array.from(grids.flatMap(() => features)))
  }

  private refuseBeyondMemory(size: Size): void {
    const { height, width, patch, heads, depth } = this.note.config
    const patches = Math.ceil(size[0] / patch) * Math.ceil(size[1] / patch)
    const bytes = 8 * heads * depth * patches ** 2
    if (bytes <= MOST_BYTES || size[0] * size[1] <= height * width) return
    const what = `the model learned from whole grids of ${height} by ${width} cells (not with --windows)`
    const needed = `to answer one of ${size[0]} by ${size[1]} cells takes ${Math.ceil(bytes / 2 ** 30)} GiB`
    throw new InputError(`${what}: ${needed}, more than a page has; cut it into parts, or train with --windows`)
  }
}

/** The network in a session of onnxruntime-web, one forward pass after the other. */
export function networkOf(session: InferenceSession, TensorOf: typeof Tensor): Network {
  let turn: Promise<unknown> = Promise.resolve()
  return (output, tokens, dims, features) => {
    const inputs: Record<string, Tensor> = { tokens: new TensorOf('int64', tokens, dims) }
    if (features.length) inputs.side = new TensorOf('float32', features, [...dims, features.length / tokens.length])
    const result = turn.then(() => session.run(inputs, [output])).then(
      (outputs) => outputs[output]!.data as Float32Array,
      (error: unknown) => {
        const grids = `the model fails on grids of ${dims[1]} by ${dims[2]} cells`
        throw new InputError(`${grids} (${String(error).replace(/\s+/g, ' ').slice(0, 200)})`)
      },
    )
    turn = result.catch(() => {})
    return result
  }
}
