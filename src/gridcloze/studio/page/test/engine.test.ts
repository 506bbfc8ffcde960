/** The decoder gives the fills of Python: tests/studio_vectors.py writes what is compared with. */

import { expect, test } from 'vitest'
import type { Puzzle, Sample } from '../src/backend'
import { influence, mostLikely, sample, sizeOf } from '../src/engine/filling'
import type { Note } from '../src/engine/note'
import type { Size } from '../src/engine/predictor'
import { Uniforms, streamsOf } from '../src/engine/random'
import { exactMarginals, windowMarginals } from '../src/engine/windows'
import { TrainedPredictor, type Network } from '../src/engine/trained'
import { mapsOf, type Channel } from '../src/side'
import written from './vectors.json'

interface Case {
  calibration: Note['calibration']
  size: Size
  window: Size | null
  symbols: number
  cells: number[]
  seed: number
  marginals: number[]
  samples: Sample[]
  refined: number[][][]
  mostLikely?: Sample
  target: number
  influence: (number | null)[]
  side?: Record<string, (number | null)[]>
}

interface Squares {
  prior: string
  size: [number, number]
  cells: number[]
  exact: number[]
  sides: Record<string, number[]>
}

const vectors = written as unknown as {
  channels: Channel[]
  randomness: { uniforms: [number[], number[]][]; names: [number, number[]][] }
  cases: Record<string, Case>
  windows: Squares[]
}
const cases = Object.entries(vectors.cases)

/** `Hashed` of tests/studio_vectors.py. */
function hashed(symbols: number): Network {
  return async (_, tokens, [batch, height, width], features) => {
    const cells = height! * width!, each = features.length / tokens.length
    return Float32Array.from({ length: batch! * cells * symbols }, (_, place) => {
      const [symbol, to, grid] = [place % symbols, Math.floor(place / symbols) % cells, Math.floor(place / symbols / cells)]
      let sum = 0
      for (let of = 0; of < cells; of++) {
        const factor = (7 * to + 13 * of + 31 * symbol + to * of * (symbol + 1)) % 17
        sum += (Number(tokens[grid * cells + of]) + 1) * factor
      }
      const ofCell = features.subarray((grid * cells + to) * each, (grid * cells + to + 1) * each)
      return ofCell.reduce((logit, value, feature) => logit + value * ((3 * feature + 2 * symbol) % 5), (sum % 64) / 4)
    })
  }
}

function made({ calibration, size, window, symbols, cells, side }: Case, between = async () => {}) {
  const [height, width] = window ?? size
  const config = { height, width, n_symbols: symbols, patch: 1, heads: 1, depth: 1 }
  const note = { config, calibration, windows: window !== null, side: side && vectors.channels } as Note
  const puzzle: Puzzle = { height: size[0], width: size[1], cells: Int16Array.from(cells) }
  if (side) puzzle.side = new Map(Object.entries(side).map(([name, map]) => [name, Float32Array.from(map, (value) => value ?? NaN)]))
  return { predictor: new TrainedPredictor(hashed(symbols), note, between), puzzle }
}

function expectClose(found: ArrayLike<number>, expected: (number | null)[], bits = 12) {
  expect(found.length).toBe(expected.length)
  expected.forEach((value, place) => {
    if (value === null) expect(found[place]).toBeNaN()
    else expect(found[place]).toBeCloseTo(value, bits)
  })
}

function expectSame(found: Sample, expected: Sample) {
  expect([...found.cells]).toEqual([...expected.cells])
  expect(found.passes.map((pass) => [...pass.revealed])).toEqual(expected.passes.map((pass) => [...pass.revealed]))
  expect(found.passes.map((pass) => [...pass.symbols])).toEqual(expected.passes.map((pass) => [...pass.symbols]))
  expectClose(found.passes.map((pass) => pass.bits), expected.passes.map((pass) => pass.bits), 9)
  expect(found.logProbBits).toBeCloseTo(expected.logProbBits, 9)
}

test.each(vectors.randomness.uniforms)('the stream %j has the random numbers of NumPy', (stream, expected) => {
  const uniforms = new Uniforms(stream)
  const first = uniforms.first(1001)
  const places = [0, 1, 2, 63, 1000]
  expect(places.map((place) => first[place])).toEqual(expected)
  expect(places.map((place) => uniforms.at(place))).toEqual(expected)
})

test.each(vectors.randomness.names)('a grid of %d cells has the name that Python gives it', (n, name) => {
  const cells = Int16Array.from({ length: n }, (_, cell) => (cell % 7) - 1)
  expect(streamsOf(cells, 5, 2)[1]).toEqual([5, ...name, 1])
})

test.each(cases)('%s: marginals are calibrated, and blended where windows overlap', async (_, each) => {
  const { predictor, puzzle } = made(each)
  expectClose((await predictor.marginals(sizeOf(puzzle), [puzzle.cells], mapsOf(puzzle, predictor.side)))[0]!, each.marginals)
})

test.each(cases)('%s: samples are those of Python, pass by pass', async (_, each) => {
  const { predictor, puzzle } = made(each)
  const found = await sample(predictor, puzzle, each.samples.length, each.seed)
  found.forEach((one, number) => expectSame(one, each.samples[number]!))
})

test.each(cases)('%s: refined samples are those of Python, and have no log-probability', async (_, each) => {
  const { predictor, puzzle } = made(each)
  for (const [number, expected] of each.refined.entries()) {
    const found = await sample(predictor, puzzle, 2, each.seed, () => {}, number + 1)
    expect(found.map(({ cells }) => [...cells])).toEqual(expected)
    expect(found[0]!.logProbBits).toBe(puzzle.cells.includes(-1) ? NaN : 0)
  }
})

test.each(cases)('%s: the most likely fill is that of Python; with every cell hidden a sample', async (_, each) => {
  const { predictor, puzzle } = made(each)
  expectSame(await mostLikely(predictor, puzzle, each.seed), each.mostLikely ?? each.samples[0]!)
})

test.each(cases.filter(([, each]) => each.influence))('%s: influence is that of explain', async (_, each) => {
  const { predictor, puzzle } = made(each)
  expectClose(await influence(predictor, puzzle, each.target, () => {}), each.influence, 6)
  const visible = puzzle.cells.findIndex((symbol) => symbol >= 0)
  if (visible >= 0) await expect(influence(predictor, puzzle, visible)).rejects.toThrow('only hidden cells can be explained')
})

test.each(vectors.windows)('the exact posterior of squares, whole and in windows', ({ prior, size, cells, exact, sides }) => {
  const puzzle: Puzzle = { height: size[0], width: size[1], cells: Int16Array.from(cells) }
  expectClose(exactMarginals(prior, puzzle)!, exact, 6)
  for (const side in sides) expectClose(windowMarginals(prior, puzzle, Number(side)), sides[side]!, 6)
  expect(exactMarginals(prior, { ...puzzle, height: 4, width: 16 })).toBeNull()
  const impossible = Int16Array.from(cells, (_, cell) => (cell === 0 || cell === 63 ? 1 : cell === 9 ? 0 : -1))
  expect(() => exactMarginals(prior, { ...puzzle, cells: impossible })).toThrow('no grid of the prior agrees')
})

test('work stops between forward passes when it is told to', async () => {
  let passes = 0
  const { predictor, puzzle } = made(cases[0]![1], async () => {
    if (++passes > 3) throw new Error('stopped')
  })
  await expect(sample(predictor, puzzle, 8, 0)).rejects.toThrow('stopped')
  expect(passes).toBe(4)
})

test('progress rises to 1', async () => {
  const shares: number[] = []
  const { predictor, puzzle } = made(cases[4]![1])
  for (const refine of [0, 2]) {
    shares.length = 0
    await sample(predictor, puzzle, 2, 0, (share) => shares.push(share), refine)
    expect(shares).toEqual([...shares].sort((one, other) => one - other))
    expect(shares.at(-1)).toBe(1)
  }
})
