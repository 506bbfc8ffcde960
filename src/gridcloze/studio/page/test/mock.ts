// A back end that answers without a network, for tests of the page: the exact posterior of squares, computed here.
import type { Backend, Model, Options, Pass, Puzzle, Sample } from '../src/backend'
import { distributionAt, entropy } from '../src/colours'
import { HIDDEN, uniforms } from '../src/grid'

const COLOURS = ['#000000', '#e69f00', '#56b4e9', '#009e73', '#f0e442', '#0072b2', '#d55e00', '#cc79a7', '#ffffff']
const NAMES = ['sea', 'beach', 'river', 'meadow', 'field', 'lake', 'town', 'moor', 'snow']
const two = [{ name: 'black', character: '.', colour: '#000000' }, { name: 'white', character: '#', colour: '#ffffff' }]
const SIDE = { side: ['zone', 'depth'], side_classes: [[0, 1, 2], []] }
const MODELS: Model[] = ([
  { id: 'squares', name: 'squares', height: 16, width: 16, symbols: two, window: null, prior: 'squares 16x16 3..12', training: {} },
  { id: 'cnn-7', name: 'CNN 7', height: 16, width: 16, symbols: two, window: null, prior: null, training: {} },
  { id: 'channels', name: 'channels', height: 64, width: 64, symbols: [{ name: 'shale', character: '.', colour: '#000000' }, { name: 'channel', character: '#', colour: '#ffffff' }], window: [64, 64], prior: null, training: {} },
  { id: 'land', name: 'land', height: 12, width: 12, symbols: NAMES.map((name, at) => ({ name, character: 'sbrmfltow'[at]!, colour: COLOURS[at]! })), window: null, prior: null, training: {} },
  { id: 'sided', name: 'sided', height: 16, width: 16, symbols: two, window: null, prior: null, training: {}, ...SIDE },
] as Model[]).map((model) => ({ ...model, side: model.side ?? [], side_classes: model.side_classes ?? [] }))

const SQUARES: Uint8Array[] = []
for (let side = 3; side <= 12; side++)
  for (let top = 0; top + side <= 16; top++)
    for (let left = 0; left + side <= 16; left++)
      SQUARES.push(Uint8Array.from({ length: 256 }, (_, cell) => Number(cell >> 4 >= top && cell >> 4 < top + side && (cell & 15) >= left && (cell & 15) < left + side)))

/** Of the squares that agree with the visible cells, or else least disagree, those that do; in a window around a cell. */
function members(cells: Int16Array, radius = 16, cell = 0): Uint8Array[] {
  const near = [...cells.keys()].filter((at) => cells[at] !== HIDDEN && Math.abs((at >> 4) - (cell >> 4)) <= radius && Math.abs((at & 15) - (cell & 15)) <= radius)
  const counts = SQUARES.map((square) => near.reduce((n, at) => n + Number(square[at] !== cells[at]), 0))
  const fewest = Math.min(...counts)
  return SQUARES.filter((_, one) => counts[one] === fewest)
}

const average = (squares: Uint8Array[], cell: number) => squares.reduce((n, square) => n + square[cell]!, 0) / squares.length

export function windowMarginals(_prior: string, puzzle: Puzzle, size: number): Float32Array {
  const all = size >= 31 ? members(puzzle.cells) : null
  return Float32Array.from({ length: 512 }, (_, at) => {
    const cell = at >> 1, symbol = at & 1, shown = puzzle.cells[cell]!
    if (shown !== HIDDEN) return Number(shown === symbol)
    const white = average(all ?? members(puzzle.cells, (size - 1) / 2, cell), cell)
    return symbol ? white : 1 - white
  })
}

const pause = (milliseconds: number, signal?: AbortSignal) => new Promise<void>((done, stop) => {
  signal?.addEventListener('abort', () => stop(new Error('stopped')))
  setTimeout(done, milliseconds)
})

export class BrowserBackend implements Backend {
  readonly kind = 'browser'
  models = async () => (new URLSearchParams(location.search).has('empty') ? [] : MODELS)
  exact = async (model: Model, puzzle: Puzzle) => (model.prior ? windowMarginals(model.prior, puzzle, 31) : null)

  async open(file: File): Promise<Model> {
    if (!(await file.text()).startsWith('model')) throw new Error(`${file.name}: this is no model that gridcloze export wrote`)
    return { ...MODELS[0]!, id: file.name, name: file.name.replace('.onnx', '') }
  }

  /** Near the truth for squares; elsewhere what the nearest visible cells are, in a smooth way. */
  async marginals(model: Model, puzzle: Puzzle, { signal }: Options): Promise<Float32Array> {
    await pause(4, signal)
    if (model.id !== 'channels' && model.symbols.length === 2 && puzzle.cells.length === 256) {
      const right = windowMarginals('', puzzle, model.name === 'CNN 7' ? 7 : 31)
      return right.map((share, at) => (puzzle.cells[at >> 1] === HIDDEN ? 0.992 * share + 0.004 + 0.003 * Math.sin(at >> 1) * (at & 1 ? 1 : -1) : share))
    }
    const n = model.symbols.length, shares = new Float32Array(puzzle.cells.length * n)
    puzzle.cells.forEach((shown, cell) => {
      const row = Math.floor(cell / puzzle.width), column = cell % puzzle.width
      const weight = (symbol: number) => shown === HIDDEN ? Math.exp(3 * Math.cos(row / 5 + symbol * 2.1 + Math.sin(column / 7)) + Math.sin(column / 4 + symbol)) : Number(shown === symbol)
      const weights = model.symbols.map((_, symbol) => weight(symbol)), total = weights.reduce((sum, one) => sum + one)
      weights.forEach((one, symbol) => { shares[cell * n + symbol] = one / total })
    })
    return shares
  }

  async decode(model: Model, puzzle: Puzzle, random: (() => number) | null, options: Options): Promise<Sample> {
    const cells = puzzle.cells.slice(), passes: Pass[] = [], n = model.symbols.length
    while (cells.includes(HIDDEN)) {
      const shares = await this.marginals(model, { ...puzzle, cells }, options)
      const bits = new Map([...cells.keys()].filter((cell) => cells[cell] === HIDDEN).map((cell) => [cell, entropy(distributionAt(shares, cell, cells.length))]))
      const order = [...bits].sort((one, two) => one[1] - two[1]).map(([cell]) => cell)
      const many = Math.max(1, order.filter((cell) => bits.get(cell)! < 0.1).length, Math.ceil(order.length / (random ? 6 : 9)) * Number(n > 2 || cells.length > 256))
      const revealed = Int32Array.from(order.slice(0, many))
      const symbols = Int16Array.from(revealed, (cell) => {
        const distribution = distributionAt(shares, cell, cells.length)
        let left = random?.() ?? 2
        if (!random) return distribution.indexOf(Math.max(...distribution))
        return Math.max(0, distribution.findIndex((share) => (left -= share) < 0))
      })
      revealed.forEach((cell, at) => { cells[cell] = symbols[at]! })
      passes.push({ revealed, symbols, bits: [...revealed].reduce((sum, cell) => sum + bits.get(cell)!, 0) })
    }
    return { cells, logProbBits: -passes.reduce((sum, { bits }) => sum + bits, 0), passes }
  }

  mostLikely = (model: Model, puzzle: Puzzle, options: Options) => this.decode(model, puzzle, null, options)

  async sample(model: Model, puzzle: Puzzle, n: number, options: Options): Promise<Sample[]> {
    const samples = []
    for (let one = 0; one < n; one++) {
      samples.push(await this.decode(model, puzzle, uniforms(1000 * options.seed + one), options))
      options.onProgress?.((one + 1) / n)
    }
    return samples
  }

  async influence(model: Model, puzzle: Puzzle, cell: number, options: Options): Promise<Float32Array> {
    const before = await this.marginals(model, puzzle, options), n = model.symbols.length
    const result = new Float32Array(puzzle.cells.length)
    for (const [at, shown] of puzzle.cells.entries()) {
      if (shown === HIDDEN || puzzle.cells.length !== 256) continue
      const after = windowMarginals('', { ...puzzle, cells: puzzle.cells.map((symbol, one) => (one === at ? HIDDEN : symbol)) }, 31)
      for (let symbol = 0; symbol < n; symbol++) result[at]! += Math.abs(before[cell * n + symbol]! - after[cell * n + symbol]!) / 2
    }
    return result
  }

  async attention(_model: Model, puzzle: Puzzle, options: Options) {
    await pause(4, options.signal)
    const layers = 6, heads = 4, patches: [number, number] = [puzzle.height / 2, puzzle.width / 2], n = patches[0] * patches[1]
    const weights = new Float32Array(layers * heads * n * n)
    for (let one = 0; one < layers * heads; one++)
      for (let query = 0; query < n; query++) {
        const start = (one * n + query) * n, row = Math.floor(query / patches[1]), column = query % patches[1]
        let total = 0
        for (let key = 0; key < n; key++) {
          const down = Math.floor(key / patches[1]) - row, right = (key % patches[1]) - column
          total += weights[start + key] = Math.exp(-((down - (one % 5) + 2) ** 2) / (1 + one % 4) - ((right - Math.floor(one / 5) + 2) ** 2) / (1 + one % 3))
        }
        for (let key = 0; key < n; key++) weights[start + key]! /= total
      }
    return { layers, heads, patches, patch: 2, weights }
  }
}
