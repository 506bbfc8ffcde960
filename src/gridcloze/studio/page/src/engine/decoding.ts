/** Which hidden cells are revealed next, how many in a forward pass, and what they get: decoding.py for one window. */

import type { Pass } from '../backend'
import { HIDDEN, entropyBits, type Predictor, type Size } from './predictor'
import { Uniforms, type Stream } from './random'

const LATTICE = 3 // cells between those that are drawn again together: then none is a neighbour of another

type Order = 'weighted' | 'margin' | 'spread'

export interface Decoder {
  order: Order
  budgetBits: number
  sidePerSymbol: number
  refine?: number // rounds in which samples are drawn again
}

/** The default: windows of textures have many uncertain cells, far from each other. */
export function defaultDecoder(predictor: Predictor): Decoder {
  const [order, sidePerSymbol]: [Order, number] = predictor.window ? ['spread', 4] : ['weighted', 0]
  return { order, budgetBits: 0.05, sidePerSymbol }
}

/** The symbol of a cell, from its distribution and a random number. */
export type Pick = (distribution: Float64Array, uniform: () => number) => number

export const pickSample: Pick = (distribution, uniform) => {
  let total = 0
  const cumulative = distribution.map((p) => (total += p))
  const drawn = uniform() * total
  return cumulative.reduce((symbol, until) => symbol + (drawn >= until ? 1 : 0), 0)
}

export const pickMostLikely: Pick = (distribution) => distribution.indexOf(Math.max(...distribution))

/** One fill on its way from puzzle to whole grid. */
export class Lane {
  readonly passes: Pass[] = []
  private readonly uniforms: Uniforms
  private readonly wanted: number[] // cells that are open at first
  private keys: Float64Array | null = null

  /** `open` are the cells to reveal, in ascending order; other hidden ones stay hidden. */
  constructor(readonly size: Size, readonly cells: Int16Array, public open: number[], stream: Stream) {
    this.uniforms = new Uniforms(stream)
    this.wanted = open
  }

  /** Hide the wanted cells of one sublattice again. */
  reopen(number: number): void {
    const column = (cell: number) => cell % this.size[1], row = (cell: number) => (cell - column(cell)) / this.size[1]
    this.open = this.wanted.filter((cell) => (row(cell) % LATTICE) * LATTICE + (column(cell) % LATTICE) === number % LATTICE ** 2)
    for (const cell of this.open) this.cells[cell] = HIDDEN
  }

  /** One forward pass: choose cells, and reveal them. */
  step(marginals: Float64Array, symbols: number, decoder: Decoder, pick: Pick): void {
    const distributions = this.open.map((cell) => marginals.subarray(cell * symbols, (cell + 1) * symbols))
    const chosen = this.choose(distributions, symbols, decoder)
    const revealed = Int32Array.from(chosen, (place) => this.open[place]!)
    const first = this.cells.length * (this.passes.length + 1) // of the random numbers of this pass; keys came before
    let bits = 0
    const picked = Int16Array.from(chosen, (place) => {
      const symbol = pick(distributions[place]!, () => this.uniforms.at(first + this.open[place]!))
      bits += Math.log2(distributions[place]![symbol]!)
      return symbol
    })
    revealed.forEach((cell, place) => (this.cells[cell] = picked[place]!))
    this.open = this.open.filter((cell) => this.cells[cell] === HIDDEN)
    this.passes.push({ revealed, symbols: picked, bits })
  }

  /** Places among the open cells, ascending. */
  private choose(distributions: Float64Array[], symbols: number, decoder: Decoder): number[] {
    const entropies = distributions.map(entropyBits)
    const every = [...distributions.keys()]
    const chosen = new Set(firstWithin(every, entropies, entropies, decoder.budgetBits))
    const rest = every.filter((place) => !chosen.has(place))
    const ranks = this.ranks(rest, distributions, entropies, decoder.order)
    if (rest.length) chosen.add(rest.reduce((one, other) => (ranks[other]! < ranks[one]! ? other : one)))
    if (decoder.sidePerSymbol) {
      const bits = (Math.sqrt(this.wanted.length) / decoder.sidePerSymbol) * Math.log2(symbols)
      for (const place of firstWithin(rest, ranks, entropies, bits)) chosen.add(place)
    }
    return [...chosen].sort((one, other) => one - other)
  }

  /** A rank for each place of `rest`; the lowest is revealed first. */
  private ranks(rest: number[], distributions: Float64Array[], entropies: number[], order: Order): number[] {
    const ranks: number[] = []
    if (order === 'weighted') this.keys ??= this.uniforms.first(this.cells.length)
    const places = order === 'spread' ? haltonPlaces(this.size) : null
    for (const place of rest) {
      const cell = this.open[place]!
      if (places) ranks[place] = places[cell]!
      else if (order === 'margin') ranks[place] = -lead(distributions[place]!)
      else ranks[place] = -Math.log(this.keys![cell]!) / Math.max(entropies[place]!, 1e-12)
    }
    return ranks
  }
}

/** How far the most likely symbol is ahead of the second. */
function lead(distribution: Float64Array): number {
  const sorted = distribution.slice().sort()
  return sorted.at(-1)! - sorted.at(-2)!
}

/** The places of least rank whose entropies add up to at most `bits`. */
function firstWithin(places: number[], ranks: number[], entropies: number[], bits: number): number[] {
  const sorted = [...places].sort((one, other) => ranks[one]! - ranks[other]!)
  let total = 0
  const end = sorted.findIndex((place) => (total += entropies[place]!) > bits)
  return end < 0 ? sorted : sorted.slice(0, end)
}

const placesBySize = new Map<string, Float64Array>()

/** The place of each cell in a Halton sequence, which spreads evenly. */
export function haltonPlaces(size: Size): Float64Array {
  const known = placesBySize.get(`${size}`)
  if (known) return known
  const n = 16 * size[0] * size[1]
  const places = Float64Array.from({ length: size[0] * size[1] }, (_, cell) => n + cell)
  for (let number = n - 1; number >= 0; number--) {
    places[halton(number, 2, size[0]) * size[1] + halton(number, 3, size[1])] = number
  }
  placesBySize.set(`${size}`, places)
  return places
}

function halton(number: number, base: number, cells: number): number {
  let backwards = 0
  let parts = 1
  for (; number > 0; number = Math.floor(number / base), parts *= base) backwards = backwards * base + (number % base)
  return Math.floor((backwards * cells) / parts)
}

/** Fill lanes that have the same side maps, and draw samples again; `onRevealed` is told how many cells each pass revealed. */
export async function run(
  predictor: Predictor, lanes: Lane[], maps: Float32Array[], decoder: Decoder, pick: Pick, onRevealed: (cells: number) => void,
): Promise<void> {
  await revealAll(predictor, lanes, maps, decoder, pick, onRevealed)
  for (let number = 0; pick === pickSample && number < (decoder.refine ?? 0) * LATTICE ** 2; number++) {
    for (const lane of lanes) lane.reopen(number)
    await revealAll(predictor, lanes, maps, decoder, pick, onRevealed)
  }
}

async function revealAll(...[predictor, lanes, maps, decoder, pick, onRevealed]: Parameters<typeof run>): Promise<void> {
  for (let live = lanes; (live = live.filter((lane) => lane.open.length)).length; ) {
    const first = new Map(live.map((lane) => [lane.cells.join(), lane])) // equal rows are predicted once
    const answers = await predictor.marginals(live[0]!.size, [...first.values()].map((lane) => lane.cells), maps)
    const numbers = new Map([...first.keys()].map((key, number) => [key, number]))
    const before = live.map((lane) => numbers.get(lane.cells.join())!)
    live.forEach((lane, place) => {
      lane.step(answers[before[place]!]!, predictor.symbols, decoder, pick)
      onRevealed(lane.passes.at(-1)!.revealed.length)
    })
  }
}
