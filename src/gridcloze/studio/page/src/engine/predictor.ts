/** What predicts hidden cells, and the numbers that all predictors share. */

export const HIDDEN = -1

export type Size = readonly [height: number, width: number]

/** Bad input, in one line for the person who gave it. */
export class InputError extends Error {}

export interface Predictor {
  readonly symbols: number
  readonly window: Size | null // larger grids are filled window after window
  readonly side: string[] // the names of its side maps
  /** The probability of each symbol at each cell of grids of one size, HIDDEN where hidden, that have the same side maps. */
  marginals(size: Size, grids: Int16Array[], maps: Float32Array[]): Promise<Float64Array[]>
}

export interface Calibration {
  distances?: number[] // of hidden cells from the nearest visible one
  hidden_fractions?: number[] // instead, of models of version 0.2
  temperatures: number[]
}

export function exceeds(size: Size, window: Size | null): window is Size {
  return window !== null && (size[0] > window[0] || size[1] > window[1])
}

export function countHidden(cells: Int16Array): number {
  let count = 0
  for (const cell of cells) if (cell === HIDDEN) count++
  return count
}

/** From straight lines between values at points. */
function interpolated(points: number[], values: number[], x: number): number {
  const after = points.findIndex((point) => x < point)
  if (after <= 0) return values.at(after === 0 ? 0 : -1)!
  const slope = (values[after]! - values[after - 1]!) / (points[after]! - points[after - 1]!)
  return slope * (x - points[after - 1]!) + values[after - 1]!
}

/** How far each cell is from the nearest visible one, by the larger of the differences in rows and columns. */
function distancesOf(cells: Int16Array, [height, width]: Size): number[] {
  const most = Math.max(height, width), order = [...cells.keys()]
  const far = Array.from(cells, (cell) => (cell === HIDDEN ? most : 0))
  for (const step of [-1, 1]) {
    // from the cells before it in the order of reading, then from those before it in the opposite order
    for (const cell of order) {
      for (const [down, across] of [[0, 1], [1, -1], [1, 0], [1, 1]] as const) {
        const column = (cell % width) + step * across, beside = far[cell + step * (down * width + across)]
        if (column >= 0 && column < width && beside! < far[cell]!) far[cell] = beside! + 1
      }
    }
    order.reverse()
  }
  return far
}

/** Probabilities from the logits of one grid; a visible cell has its own symbol with probability 1. */
export function marginalsOf(
  logits: Float32Array, cells: Int16Array, size: Size, symbols: number, calibration: Calibration,
): Float64Array {
  const { distances: points, hidden_fractions: shares, temperatures } = calibration
  const share = countHidden(cells) / cells.length
  const measured = points ? distancesOf(cells, size) : Array.from(cells, () => share)
  const marginals = new Float64Array(cells.length * symbols)
  cells.forEach((symbol, cell) => {
    const place = cell * symbols
    if (symbol !== HIDDEN) {
      marginals[place + symbol] = 1
      return
    }
    const temperature = interpolated((points ?? shares)!, temperatures, measured[cell]!)
    const scaled = Float64Array.from(logits.subarray(place, place + symbols), (logit) => logit / temperature)
    const largest = scaled.reduce((one, other) => Math.max(one, other))
    const odds = scaled.map((logit) => Math.exp(logit - largest))
    const total = sum(odds)
    marginals.set(odds.map((each) => each / total), place)
  })
  return marginals
}

export function entropyBits(distribution: Float64Array): number {
  return -sum(distribution.map((p) => (p > 0 ? p * Math.log2(p) : 0)))
}

/** The sum in NumPy's order, so that what is a tie there is one here. */
export function sum(values: Float64Array): number {
  if (values.length > 128) {
    const half = Math.floor(values.length / 16) * 8
    return sum(values.subarray(0, half)) + sum(values.subarray(half))
  }
  const whole = values.length - (values.length % 8)
  let total = 0
  if (whole) {
    const parts = values.slice(0, 8)
    for (let place = 8; place < whole; place++) parts[place % 8]! += values[place]!
    const [a, b, c, d, e, f, g, h] = parts as unknown as number[]
    total = a! + b! + (c! + d!) + (e! + f! + (g! + h!))
  }
  for (const value of values.subarray(whole)) total += value
  return total
}
