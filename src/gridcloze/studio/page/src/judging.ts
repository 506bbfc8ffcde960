// What the exact posterior says to an answer that a reader painted.
import type { Puzzle } from './backend'
import { distributionAt } from './colours'
import { HIDDEN } from './grid'

export const PRIOR = 'squares 16x16 3..12'
const SURE = 1 - 1e-6

export interface Verdict { text: string; wrong: number[]; right: number; missing: number; guessed: number }

/** Count the hidden cells that are determined and were painted right, wrong or not at all, and those that were guessed. */
export function judged(puzzle: Puzzle, mine: Int16Array, exact: Float32Array): Verdict {
  const wrong: number[] = []
  let right = 0, missing = 0, guessed = 0, uncertain = 0
  puzzle.cells.forEach((symbol, cell) => {
    if (symbol !== HIDDEN) return
    const distribution = distributionAt(exact, cell, puzzle.cells.length), painted = mine[cell]!
    const isSure = Math.max(...distribution) > SURE
    if (!isSure) { uncertain++; if (painted !== HIDDEN) guessed++ }
    if (painted === HIDDEN) missing += Number(isSure)
    else if (distribution[painted]! < 1 - SURE) wrong.push(cell)
    else if (isSure) right++
  })
  const cells = (n: number) => `${n} ${n === 1 ? 'cell' : 'cells'}`, determined = puzzle.cells.filter((symbol) => symbol === HIDDEN).length - uncertain
  const parts = [
    `Of ${cells(determined)} that the visible ones determine, you painted ${right} correctly`,
    wrong.length ? `; ${wrong.length === 1 ? 'the framed cell is impossible' : `the ${wrong.length} framed cells are impossible`}` : '',
    missing ? `; ${missing} ${missing === 1 ? 'is' : 'are'} still open` : '', '. ',
    !uncertain ? 'Nothing is left to chance here.' : `${cells(uncertain)} ${uncertain === 1 ? 'is' : 'are'} uncertain for everybody${guessed ? `, of which you guessed ${guessed}` : ''}: their probabilities are on the right.`,
  ]
  const text = !wrong.length && !missing && !guessed ? `Correct: all ${cells(determined)} that can be known, and ${uncertain ? 'nothing that cannot' : 'no other cell is hidden'}.` : parts.join('')
  return { text, wrong, right, missing, guessed }
}
