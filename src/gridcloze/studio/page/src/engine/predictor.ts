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
  hidden_fractions: number[]
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

/** The temperature that logits are divided by, from straight lines between those measured. */
export function temperatureAt({ hidden_fractions: shares, temperatures }: Calibration, share: number): number {
  const after = shares.findIndex((one) => share < one)
  if (after <= 0) return temperatures.at(after === 0 ? 0 : -1)!
  const slope = (temperatures[after]! - temperatures[after - 1]!) / (shares[after]! - shares[after - 1]!)
  return slope * (share - shares[after - 1]!) + temperatures[after - 1]!
}

/** Probabilities from the logits of one grid; a visible cell has its own symbol with probability 1. */
export function marginalsOf(
  logits: Float32Array, cells: Int16Array, symbols: number, calibration: Calibration,
): Float64Array {
  const temperature = temperatureAt(calibration, countHidden(cells) / cells.length)
  const marginals = new Float64Array(cells.length * symbols)
  cells.forEach((symbol, cell) => {
    const place = cell * symbols
    if (symbol !== HIDDEN) {
      marginals[place + symbol] = 1
      return
    }
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
