/** Grids of any size through windows of one size, which overlap: tiling.py. */

import { HIDDEN, type Predictor, type Size } from './predictor'

const MARGIN = 0.125
const HALF_OVERLAPPING = 0.25
const WINDOWS_AT_ONCE = 16

type Span = readonly [start: number, stop: number]

/** A window of a grid and its core, the cells that it answers for; each as rows and columns. */
export interface Tile {
  window: readonly [Span, Span]
  core: readonly [Span, Span]
}

/** Row by row; the cores cover the grid, each cell once. */
export function tilesOf(size: Size, window: Size, margin = MARGIN): Tile[] {
  const [down, across] = [0, 1].map((axis) => spans(size[axis]!, window[axis]!, marginOf(window[axis]!, margin)))
  return down!.flatMap((row) => across!.map((column): Tile => ({ window: [row[0], column[0]], core: [row[1], column[1]] })))
}

function marginOf(window: number, share: number): number {
  const floor = Math.floor(share * window)
  const rest = share * window - floor
  const rounded = rest > 0.5 || (rest === 0.5 && floor % 2) ? floor + 1 : floor // as Python rounds
  return Math.min(Math.max(1, rounded), Math.floor((window - 1) / 2))
}

/** Windows along one axis, and their cores. */
function spans(length: number, window: number, margin: number): [Span, Span][] {
  const cores: Span[] = []
  let start = 0
  for (let stop = window - margin; stop < length - margin; stop += window - 2 * margin) {
    cores.push([start, stop])
    start = stop
  }
  cores.push([start, length])
  return cores.map((core) => {
    const place = Math.min(Math.max(0, core[0] - margin), Math.max(0, length - window))
    return [[place, Math.min(place + window, length)], core]
  })
}

/** The cells of ranges of rows and columns, as numbers in the grid and in a window that begins where `from` does. */
export function* cellsIn(ranges: Tile['core'], from: Tile['window'], size: Size, window: Size): Generator<[number, number]> {
  const [rows, columns] = ranges
  for (let row = rows[0]; row < rows[1]; row++) {
    for (let column = columns[0]; column < columns[1]; column++) {
      yield [row * size[1] + column, (row - from[0][0]) * window[1] + column - from[1][0]]
    }
  }
}

/** The cells of a tile's window; hidden ones on the right and below where the grid is smaller. */
export function cut(cells: Int16Array, tile: Tile, size: Size, window: Size): Int16Array {
  return pasted(new Int16Array(window[0] * window[1]).fill(HIDDEN), cells, tile, size, window)
}

/** Side maps in a tile's window; unknown where the grid is smaller. */
export function cutMaps(maps: Float32Array[], tile: Tile, size: Size, window: Size): Float32Array[] {
  return maps.map((map) => pasted(new Float32Array(window[0] * window[1]).fill(NaN), map, tile, size, window))
}

function pasted<Numbers extends Int16Array | Float32Array>(
  part: Numbers, of: Numbers, { window: ranges }: Tile, size: Size, window: Size,
): Numbers {
  for (const [cell, inside] of cellsIn(ranges, ranges, size, window)) part[inside] = of[cell]!
  return part
}

/** The average of what windows predict of each cell, with less weight towards a window's border. */
export async function blended(
  predictor: Predictor, size: Size, cells: Int16Array, maps: Float32Array[], window: Size,
): Promise<Float64Array> {
  const { symbols } = predictor
  const [total, weights] = [new Float64Array(cells.length * symbols), new Float64Array(cells.length)]
  const queries = tilesOf(size, window, HALF_OVERLAPPING)
    .map((tile) => ({ tile, part: cut(cells, tile, size, window) }))
    .filter(({ tile }) => [...cellsIn(tile.window, tile.window, size, window)].some(([cell]) => cells[cell] === HIDDEN))
  const atOnce = maps.length ? 1 : WINDOWS_AT_ONCE // with side maps each has its own
  for (let start = 0; start < queries.length; start += atOnce) {
    const some = queries.slice(start, start + atOnce)
    const answers = await predictor.marginals(window, some.map(({ part }) => part), cutMaps(maps, some[0]!.tile, size, window))
    some.forEach(({ tile: { window: ranges } }, number) => {
      for (const [cell, inside] of cellsIn(ranges, ranges, size, window)) {
        const place = [Math.floor(inside / window[1]), inside % window[1]]
        const [down, across] = ranges.map((range, axis) => 1 + Math.min(place[axis]!, range[1] - range[0] - 1 - place[axis]!))
        weights[cell]! += down! * across!
        for (let k = 0; k < symbols; k++) {
          total[cell * symbols + k]! += down! * across! * answers[number]![inside * symbols + k]!
        }
      }
    })
  }
  cells.forEach((symbol, cell) => {
    for (let k = 0; k < symbols; k++) {
      const place = cell * symbols + k
      total[place] = symbol === HIDDEN ? total[place]! / Math.max(weights[cell]!, 1) : Number(symbol === k)
    }
  })
  return total
}
