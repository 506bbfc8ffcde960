import { expect, test } from 'vitest'
import { excessBits, mapped, probabilityOf } from '../src/colours'
import { HIDDEN, History, line, painted, presets, rectangle, region, sheetOf, withHoles } from '../src/grid'
import { judged } from '../src/judging'
import { windowMarginals } from './mock'

test('a line has every row or column between its ends once', () => {
  expect(line(0, 33, 10)).toEqual([0, 11, 22, 33])
  expect(line(3, 3, 10)).toEqual([3])
  expect(line(12, 40, 10)).toHaveLength(4)
  expect(line(40, 12, 10).at(-1)).toBe(12)
})

test('a rectangle is the same from each of its corners', () => {
  expect(rectangle(1, 22, 10)).toEqual([1, 2, 11, 12, 21, 22])
  expect(rectangle(21, 2, 10)).toEqual(rectangle(2, 21, 10))
})

test('a region ends where cells look different, and does not run around the edge', () => {
  const sheet = sheetOf(2, 3, [0, 1, 0, 0, 1, 0])
  expect(region(sheet, 0).sort()).toEqual([0, 3])
  expect(region(sheet, 2).sort()).toEqual([2, 5])
})

test('what is hidden can be shown again, and what is cleared cannot', () => {
  const sheet = sheetOf(1, 3, [0, 1, HIDDEN])
  const hidden = painted(sheet, [0, 1], 'hide')
  expect([...hidden.cells]).toEqual([-1, -1, -1])
  expect([...painted(hidden, [0, 1, 2], 'show').cells]).toEqual([0, 1, -1])
  expect([...painted(painted(hidden, [0], 'clear'), [0, 1], 'show').cells]).toEqual([-1, 1, -1])
  expect(painted(hidden, [0], 'hide')).toBe(hidden)
})

test('holes are of the share that was asked for, and grow without moving', () => {
  const sheet = sheetOf(10, 10, new Int16Array(100).fill(1))
  const few = withHoles(sheet, 0.2, 7), many = withHoles(few, 0.5, 7)
  expect(few.cells.filter((symbol) => symbol === HIDDEN)).toHaveLength(20)
  expect(many.cells.filter((symbol) => symbol === HIDDEN)).toHaveLength(50)
  expect(few.cells.every((symbol, cell) => symbol !== HIDDEN || many.cells[cell] === HIDDEN)).toBe(true)
  expect(withHoles(sheet, 0.2, 8).cells).not.toEqual(few.cells)
})

test('undo and redo go through strokes, and a stroke that changed nothing is none', () => {
  const history = new History<ReturnType<typeof sheetOf>>(), first = sheetOf(1, 2), second = painted(first, [0], 1)
  history.record(first)
  history.settle(second)
  history.record(second)
  history.settle(second)
  expect(history.past).toHaveLength(1)
  expect(history.undo(second)).toBe(first)
  expect(history.undo(first)).toBe(first)
  expect(history.redo(first)).toBe(second)
})

test('the six puzzles hide as many cells as in the article, of one square each', () => {
  expect(presets().map(({ cells }) => cells.filter((symbol) => symbol === HIDDEN).length)).toEqual([226, 22, 72, 174, 5, 110])
  expect(presets().map(({ beneath }) => beneath.filter((symbol) => symbol === 1).length)).toEqual([25, 100, 16, 64, 16, 16])
})

test('the truth of a puzzle is judged correct, a wrong cell impossible, and a guess a guess', () => {
  const puzzle = presets()[1]!, exact = windowMarginals('', puzzle, 31)
  expect(judged(puzzle, puzzle.beneath, exact)).toMatchObject({ wrong: [], missing: 0, guessed: 0 })
  const hidden = puzzle.cells.indexOf(HIDDEN)
  expect(judged(puzzle, puzzle.beneath.map((symbol, cell) => (cell === hidden ? 1 - symbol : symbol)), exact).wrong).toEqual([hidden])
  const open = presets()[0]!, verdict = judged(open, open.beneath, windowMarginals('', open, 31))
  expect(verdict.guessed).toBeGreaterThan(0)
})

test('excess bits are zero for the right answer and positive for any other', () => {
  const puzzle = presets()[0]!, exact = windowMarginals('', puzzle, 31)
  expect(excessBits(exact, exact, puzzle)).toBe(0)
  expect(excessBits(exact, windowMarginals('', puzzle, 7), puzzle)).toBeGreaterThan(0.01)
})

test('numbers have the colours of matplotlib\'s cividis, and visible cells no number', () => {
  expect([0, 0.5, 1].map(mapped)).toEqual([0x00224d, 0x7c7b78, 0xfde737])
  const puzzle = sheetOf(1, 2, [1, HIDDEN])
  expect([...probabilityOf(1, Float32Array.of(0, 1, 0.25, 0.75), puzzle)]).toEqual([NaN, 0.75])
})
