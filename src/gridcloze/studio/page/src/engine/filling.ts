/** From marginals to whole grids of any size: filling.py and sweeping.py, and influence as explaining.py defines it. */

import type { Pass, Puzzle, Sample } from '../backend'
import { mapsOf } from '../side'
import { Lane, defaultDecoder, pickMostLikely, pickSample, run, type Decoder, type Pick } from './decoding'
import { HIDDEN, InputError, countHidden, exceeds, type Predictor, type Size } from './predictor'
import { streamsOf, type Stream } from './random'
import { cellsIn, cut, cutMaps, tilesOf } from './tiling'

const GRIDS_AT_ONCE = 16

export type Progress = (share: number) => void

/** Joint samples, each from a random stream of its own: the first are the same whatever their number. */
export function sample(predictor: Predictor, puzzle: Puzzle, n: number, seed: number, progress: Progress = () => {}, refine = 0) {
  const streams = streamsOf(puzzle.cells, seed, n)
  return filled(predictor, puzzle, streams, { ...defaultDecoder(predictor), refine }, pickSample, progress)
}

/** The most likely symbol of each cell given those before, surest first; a sample if every cell is hidden. */
export async function mostLikely(
  predictor: Predictor, puzzle: Puzzle, seed: number, progress: Progress = () => {},
): Promise<Sample> {
  if (countHidden(puzzle.cells) === puzzle.cells.length) return (await sample(predictor, puzzle, 1, seed, progress))[0]!
  const decoder = defaultDecoder(predictor)
  if (!exceeds(sizeOf(puzzle), predictor.window)) decoder.order = 'margin'
  const streams = streamsOf(puzzle.cells, seed, 1)
  return (await filled(predictor, puzzle, streams, decoder, pickMostLikely, progress))[0]!
}

export const sizeOf = ({ height, width }: Puzzle): Size => [height, width]

/** Fills of a puzzle, one for each stream: in one window, or window after window. */
export async function filled(
  predictor: Predictor, puzzle: Puzzle, streams: Stream[], decoder: Decoder, pick: Pick, progress: Progress,
): Promise<Sample[]> {
  const [size, cells, maps] = [sizeOf(puzzle), puzzle.cells, mapsOf(puzzle, predictor.side)]
  const fills = streams.map((stream) => ({ stream, cells: cells.slice(), passes: [] as Pass[] }))
  const { refine = 0 } = decoder, toReveal = Math.max(1, countHidden(cells) * fills.length * (1 + refine))
  let revealed = 0
  const onRevealed = (more: number) => progress((revealed += more) / toReveal)
  const window = exceeds(size, predictor.window) ? predictor.window : size
  const whole = window === size
  for (const tile of whole ? tilesOf(size, size) : tilesOf(size, window)) {
    const core = [...cellsIn(tile.core, tile.window, size, window)]
    const lanes = fills.map((fill) => {
      const open = core.filter(([cell]) => fill.cells[cell] === HIDDEN).map(([, inside]) => inside)
      const stream = whole ? fill.stream : [...fill.stream, tile.core[0][0], tile.core[1][0]]
      return new Lane(window, cut(fill.cells, tile, size, window), open, stream)
    })
    await run(predictor, lanes, cutMaps(maps, tile, size, window), decoder, pick, onRevealed)
    const inGrid = new Map(core.map(([cell, inside]) => [inside, cell]))
    lanes.forEach((lane, number) => {
      for (const [cell, inside] of core) fills[number]!.cells[cell] = lane.cells[inside]!
      for (const pass of lane.passes) {
        fills[number]!.passes.push({ ...pass, revealed: pass.revealed.map((inside) => inGrid.get(inside)!) })
      }
    })
  }
  return fills.map(({ cells, passes }) => ({
    cells, passes, logProbBits: refine && passes.length ? NaN : passes.reduce((bits, pass) => bits + pass.bits, 0),
  }))
}

/** How far the distribution of one hidden cell moves, as total variation, when each visible cell is hidden. */
export async function influence(
  predictor: Predictor, puzzle: Puzzle, target: number, progress: Progress = () => {},
): Promise<Float32Array> {
  const { cells } = puzzle, maps = mapsOf(puzzle, predictor.side)
  checkTarget(puzzle, target)
  const of = (marginals: Float64Array) => marginals.subarray(target * predictor.symbols, (target + 1) * predictor.symbols)
  const before = of((await predictor.marginals(sizeOf(puzzle), [cells], maps))[0]!)
  const result = new Float32Array(cells.length).fill(NaN)
  const visible = [...cells.keys()].filter((cell) => cells[cell] !== HIDDEN)
  for (let start = 0; start < visible.length; start += GRIDS_AT_ONCE) {
    const some = visible.slice(start, start + GRIDS_AT_ONCE)
    const after = await predictor.marginals(sizeOf(puzzle), some.map((cell) => cells.with(cell, HIDDEN)), maps)
    after.forEach((marginals, number) => {
      result[some[number]!] = of(marginals).reduce((moved, p, k) => moved + Math.abs(p - before[k]!), 0) / 2
    })
    progress(Math.min(1, (start + GRIDS_AT_ONCE) / visible.length))
  }
  return result
}

function checkTarget({ cells, height, width }: Puzzle, target: number): void {
  const place = `cell (row ${Math.floor(target / width)}, column ${target % width}`
  if (!(target >= 0 && target < cells.length)) {
    throw new InputError(`${place}, from 0) lies outside the grid of ${height} by ${width} cells`)
  }
  if (cells[target] !== HIDDEN) throw new InputError(`${place}) is visible: only hidden cells can be explained`)
}
