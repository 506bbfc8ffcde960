/** The exact posterior of squares by enumeration, of whole grids and in windows: what the article compares with. */

import type { Puzzle } from '../backend'
import { HIDDEN, InputError } from './predictor'

interface Squares {
  height: number
  width: number
  members: Uint8Array[]
}

const known = new Map<string, Squares | null>()

/** The prior of that name, such as "squares 16x16 3..12": one white square on black, each equally likely. */
function squaresOf(name: string): Squares | null {
  if (!known.has(name)) known.set(name, enumerated(name))
  return known.get(name)!
}

function enumerated(name: string): Squares | null {
  const match = /^squares (\d+)x(\d+) (\d+)\.\.(\d+)$/.exec(name)
  if (!match) return null
  const [height, width, smallest, largest] = match.slice(1).map(Number) as [number, number, number, number]
  const members: Uint8Array[] = []
  for (let side = smallest; side <= largest; side++) {
    for (let top = 0; top <= height - side; top++) {
      for (let left = 0; left <= width - side; left++) {
        const member = new Uint8Array(height * width)
        for (let row = top; row < top + side; row++) member.fill(1, row * width + left, row * width + left + side)
        members.push(member)
      }
    }
  }
  return { height, width, members }
}

/** The exact probability of black and white at each cell; null if no such prior is known, or it is of another size. */
export function exactMarginals(prior: string | null, puzzle: Puzzle): Float32Array | null {
  const squares = prior === null ? null : squaresOf(prior)
  if (prior === null || squares?.height !== puzzle.height || squares.width !== puzzle.width) return null
  return windowMarginals(prior, puzzle, 2 * Math.max(puzzle.height, puzzle.width) + 1)
}

/** The same for each cell from a window of `size` by `size` cells around it: what no such receptive field can beat. */
export function windowMarginals(prior: string, puzzle: Puzzle, size: number): Float32Array {
  const radius = (size - 1) / 2
  const { height, width, cells } = puzzle
  const weights = new Float64Array(2 * cells.length)
  const fewest = new Int32Array(cells.length).fill(cells.length)
  const sums = new Int32Array((height + 1) * (width + 1)) // of cells that differ, above and left of a corner
  for (const member of squaresOf(prior)?.members ?? []) {
    for (let cell = 0, corner = width + 2, line = 0; cell < cells.length; cell++, corner++) {
      if (cells[cell] !== HIDDEN && cells[cell] !== member[cell]) line++
      sums[corner] = sums[corner - width - 1]! + line
      if ((cell + 1) % width === 0) [corner, line] = [corner + 1, 0]
    }
    for (let cell = 0, row = 0, column = 0; cell < cells.length; cell++) {
      const [top, left] = [Math.max(0, row - radius) * (width + 1), Math.max(0, column - radius)]
      const [bottom, right] = [Math.min(height, row + radius + 1) * (width + 1), Math.min(width, column + radius + 1)]
      const count = sums[bottom + right]! - sums[top + right]! - sums[bottom + left]! + sums[top + left]!
      if (count < fewest[cell]!) fewest[cell] = count
      if (count === 0) weights[2 * cell + member[cell]!]!++
      if (++column === width) [row, column] = [row + 1, 0]
    }
  }
  const contradicted = cells.findIndex((symbol, cell) => symbol === HIDDEN && fewest[cell]! > 0)
  if (contradicted >= 0) {
    const nearest = `the nearest differs in ${fewest[contradicted]} of them`
    throw new InputError(`no grid of the prior agrees with the visible cells; ${nearest}`)
  }
  return Float32Array.from(weights, (weight, place) => {
    const symbol = cells[place >> 1]
    return symbol === HIDDEN ? weight / (weights[place]! + weights[place ^ 1]!) : Number(symbol === (place & 1))
  })
}
