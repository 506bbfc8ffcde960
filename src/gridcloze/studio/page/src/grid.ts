// What a person does to a grid: cells on a line, in a rectangle, in a region; ink; holes; undo.
import type { Puzzle } from './backend'

export const HIDDEN = -1
/** A puzzle, and what lies beneath its hidden cells: `beneath` is the symbol of every cell that ever had one. */
export interface Sheet extends Puzzle { beneath: Int16Array }
export type Ink = number | 'hide' | 'show' | 'clear'
export type Shape = 'pen' | 'rectangle' | 'fill'

export function sheetOf(height: number, width: number, cells?: ArrayLike<number>, beneath?: ArrayLike<number>): Sheet {
  const shown = cells ? Int16Array.from(cells) : new Int16Array(height * width).fill(HIDDEN)
  return { height, width, cells: shown, beneath: beneath ? Int16Array.from(beneath) : shown.slice() }
}

/** The cell that a key leads to from another; null for keys that lead nowhere. */
export function stepped(cell: number, key: string, { height, width }: Puzzle): number | null {
  const row = Math.floor(cell / width), column = cell % width
  const places: Record<string, [number, number]> = {
    ArrowLeft: [row, Math.max(0, column - 1)], ArrowRight: [row, Math.min(width - 1, column + 1)],
    ArrowUp: [Math.max(0, row - 1), column], ArrowDown: [Math.min(height - 1, row + 1), column],
    Home: [row, 0], End: [row, width - 1], PageUp: [0, column], PageDown: [height - 1, column],
  }
  const place = places[key]
  return place ? place[0] * width + place[1] : null
}

/** Cells on the straight line from one cell to another (Bresenham). */
export function line(from: number, to: number, width: number): number[] {
  let row = Math.floor(from / width), column = from % width
  const lastRow = Math.floor(to / width), lastColumn = to % width
  const tall = Math.abs(lastRow - row), wide = Math.abs(lastColumn - column)
  const down = Math.sign(lastRow - row), right = Math.sign(lastColumn - column)
  const cells = [from]
  for (let error = wide - tall; row !== lastRow || column !== lastColumn;) {
    const twice = 2 * error
    if (twice > -tall) { error -= tall; column += right }
    if (twice < wide) { error += wide; row += down }
    cells.push(row * width + column)
  }
  return cells
}

export function rectangle(corner: number, opposite: number, width: number): number[] {
  const rows = [Math.floor(corner / width), Math.floor(opposite / width)].sort((a, b) => a - b)
  const columns = [corner % width, opposite % width].sort((a, b) => a - b)
  const cells = []
  for (let row = rows[0]!; row <= rows[1]!; row++)
    for (let column = columns[0]!; column <= columns[1]!; column++) cells.push(row * width + column)
  return cells
}

/** Cells that are connected by edges with a cell and look like it. */
export function region({ cells, height, width }: Puzzle, start: number): number[] {
  const seen = new Uint8Array(height * width), found = [start]
  seen[start] = 1
  for (let next = 0; next < found.length; next++) {
    const cell = found[next]!, column = cell % width
    for (const near of [cell - width, cell + width, column ? cell - 1 : -1, column < width - 1 ? cell + 1 : -1]) {
      if (near < 0 || near >= seen.length || seen[near] || cells[near] !== cells[start]) continue
      seen[near] = 1
      found.push(near)
    }
  }
  return found
}

/** The sheet after ink on some cells; the same sheet if that changes nothing. */
export function painted(sheet: Sheet, where: Iterable<number>, ink: Ink): Sheet {
  const cells = sheet.cells.slice(), beneath = sheet.beneath.slice()
  let changes = false
  for (const cell of where) {
    const symbol = typeof ink === 'number' ? ink : ink === 'show' ? beneath[cell]! : HIDDEN
    changes ||= cells[cell] !== symbol || (ink === 'clear' && beneath[cell] !== HIDDEN)
    cells[cell] = symbol
    if (typeof ink === 'number' || ink === 'clear') beneath[cell] = symbol
  }
  return changes ? { ...sheet, cells, beneath } : sheet
}

/** Hide a share of all cells at random; the same seed hides more cells as the share grows, and no others. */
export function withHoles(sheet: Sheet, share: number, seed: number): Sheet {
  const order = Array.from(sheet.cells, (_, cell) => cell), random = uniforms(seed)
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1))
    ;[order[last], order[other]] = [order[other]!, order[last]!]
  }
  return painted({ ...sheet, cells: sheet.beneath.slice() }, order.slice(0, Math.round(share * order.length)), 'hide')
}

/** Random numbers 0 … 1 from a seed (mulberry32). */
export function uniforms(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const MOST_KEPT = 2 ** 25 // cells in all states that can be undone

/** States that can be undone and done again; a stroke is one state, however many cells it paints. */
export class History<State extends Puzzle> {
  past: State[] = []
  future: State[] = []

  record(state: State): void {
    this.past.push(state)
    const most = Math.max(1, Math.floor(MOST_KEPT / state.cells.length))
    if (this.past.length > most) this.past.shift()
  }

  /** Forget a state that did not change, and otherwise what was undone before. */
  settle(now: State): void {
    if (this.past.at(-1) === now) this.past.pop()
    else this.future = []
  }

  undo(now: State): State {
    const before = this.past.pop()
    if (before) this.future.push(now)
    return before ?? now
  }

  redo(now: State): State {
    const after = this.future.pop()
    if (after) this.past.push(now)
    return after ?? now
  }
}

/** The six puzzles of the article: a white square by top, left and side, and which cells are hidden, as bits. */
const ARTICLE: [number, number, number, string][] = [
  [6, 10, 5, 'feedffcd8ffffdaffb7fe7effdff7ffffffff7fffffde77ff77ffffeff77fffd'],
  [2, 5, 10, '0008000880814000001012080000002080000005028000000020000000050250'],
  [1, 11, 4, '000000007f807f807f807f807f807f807f807f807f8000000000000000000000'],
  [1, 2, 8, '602287fc8fff7ffd27ffd7fccffba3f9b3f84ffd03fccbfe2ff84ffa6ffa57f9'],
  [0, 11, 4, '0001000000000000400000000100000000400000000000040000000000000000'],
  [6, 8, 4, '5550651d83e5e78f68459456630e1fe0abf110940a0c280339388ce934025e1c'],
]
/** The puzzle of the article in which a cell depends on cells far away, and that cell. */
export const FAR = { sheet: squarePuzzle(2, 5, 11, '3ff8'.repeat(10) + '0'.repeat(24)), cell: 3 * 16 + 6 }
export const presets = (): Sheet[] => ARTICLE.map((puzzle) => squarePuzzle(...puzzle))

function squarePuzzle(top: number, left: number, side: number, bits: string): Sheet {
  const truth = painted(sheetOf(16, 16, new Int16Array(256)), rectangle(16 * top + left, 17 * (side - 1) + 16 * top + left, 16), 1)
  return painted(truth, [...truth.cells.keys()].filter((cell) => (parseInt(bits[cell >> 2]!, 16) >> (3 - (cell & 3))) & 1), 'hide')
}
