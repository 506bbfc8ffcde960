// Colours: those of our pictures, so that a figure and the page read alike.
import type { Puzzle, Symbol } from './backend'
import { HIDDEN } from './grid'

/**
 * Matplotlib's cividis, which reads the same to colour-blind eyes and in grey: by how much red grows from each of 256
 * colours to the next, plus 2; then green, then blue.
 */
const STEPS =
  '22222222222222222222222665555444434434343433433334333333343333333333333333323333333333323333333323333333233333' +
  '32333333233333233333333333323333333333333333333333333333333333333333333333333333333333433333333333333343333333' +
  '33343333333343333333433333433342222323332332332332333232323323332332333233233233323323323323332332332332333233' +
  '23323323332332332333233233323323323332333233233323332332333233323332333233323332333323332333323333233332333323' +
  '33332333332333332333333323333333233333333323333333333333323333333334334344344434444434444322222221222212222212' +
  '22221222222222212222222222222223222222222232222223222223222232223222322322232322322322232222222222222222222122' +
  '222221222221222122212221221221221221212212121212121211212112112112111121111111111111111011011010010001343'
const [RED, GREEN, BLUE] = [0, 34, 77].map((value, part) =>
  Uint8Array.of(value, ...Array.from(STEPS.slice(255 * part, 255 * part + 255), (step) => (value += Number(step) - 2)))) as [Uint8Array, Uint8Array, Uint8Array]
export const GREY = 0x808080 // of hidden cells
export const WHITE_AND_BLACK: Symbol[] = [
  { name: 'black', character: '.', colour: '#000000' },
  { name: 'white', character: '#', colour: '#ffffff' },
]

/** What a grid shows: the colour of each cell as 0xrrggbb, and what else is drawn on it. */
export interface Picture {
  height: number; width: number
  colours: Int32Array     // NOTHING for a cell without a number
  hatched?: Uint8Array    // cells that are hidden, so that a grey symbol is told from a hidden cell
  tokens?: Int32Array     // colours of small squares: visible cells in a picture of numbers; NOTHING for none
  characters?: string[]   // of the symbols of cells; '' for none
}
export const NOTHING = -1

export const rgb = (colour: string): number => parseInt(colour.slice(1, 7), 16)
export const css = (colour: number): string => `#${colour.toString(16).padStart(6, '0')}`
export const bytesOf = (colour: number): [number, number, number] => [colour >> 16, (colour >> 8) & 255, colour & 255]
export const isDark = (colour: number): boolean => {
  const [red, green, blue] = bytesOf(colour)
  return 0.299 * red + 0.587 * green + 0.114 * blue < 128
}

/** The colour of a number from 0 to 1, in the steps that matplotlib takes. */
export function mapped(value: number): number {
  const step = Math.min(255, Math.max(0, Math.floor(256 * value)))
  return (RED[step]! << 16) | (GREEN[step]! << 8) | BLUE[step]!
}
export const gradient = `linear-gradient(90deg, ${Array.from({ length: 33 }, (_, step) => css(mapped(step / 32))).join(', ')})`

export function pictureOfCells({ height, width, cells }: Puzzle, symbols: Symbol[]): Picture {
  const colours = symbols.map((symbol) => rgb(symbol.colour))
  return {
    height, width,
    colours: Int32Array.from(cells, (symbol) => colours[symbol] ?? GREY),
    hatched: Uint8Array.from(cells, (symbol) => Number(symbol === HIDDEN)),
    ...charactersOf(cells, symbols),
  }
}

/** Characters where colours alone would have to tell symbols apart. */
const charactersOf = (cells: Int16Array, symbols: Symbol[]): { characters?: string[] } =>
  symbols.length > 2 ? { characters: Array.from(cells, (symbol) => symbols[symbol]?.character ?? '') } : {}

/** A picture of numbers from 0 to `largest`, NaN for none; visible cells of the puzzle stay visible as small squares. */
export function pictureOfValues({ height, width, cells }: Puzzle, symbols: Symbol[], values: ArrayLike<number>, largest = 1): Picture {
  const colours = symbols.map((symbol) => rgb(symbol.colour))
  return {
    height, width,
    colours: Int32Array.from(values, (value) => (Number.isNaN(value) ? NOTHING : mapped(value / (largest || 1)))),
    tokens: Int32Array.from(cells, (symbol) => colours[symbol] ?? NOTHING),
    ...charactersOf(cells, symbols),
  }
}

/** The probability of one symbol at hidden cells, NaN elsewhere. */
export const probabilityOf = (symbol: number, marginals: Float32Array, { cells }: Puzzle): Float32Array =>
  Float32Array.from(cells, (shown, cell) => (shown === HIDDEN ? marginals[cell * (marginals.length / cells.length) + symbol]! : NaN))

/** The entropy at hidden cells in bits, NaN elsewhere. */
export const entropyOf = (marginals: Float32Array, { cells }: Puzzle): Float32Array =>
  Float32Array.from(cells, (shown, cell) => (shown === HIDDEN ? entropy(distributionAt(marginals, cell, cells.length)) : NaN))

export const distributionAt = (marginals: Float32Array, cell: number, n: number): Float32Array =>
  marginals.subarray((cell * marginals.length) / n, ((cell + 1) * marginals.length) / n)

export const entropy = (distribution: Float32Array): number =>
  distribution.reduce((bits, share) => bits - (share > 0 ? share * Math.log2(share) : 0), 0)

/** Bits per hidden cell of predictions from the right ones (Kullback–Leibler divergence). */
export function excessBits(right: Float32Array, predicted: Float32Array, { cells }: Puzzle): number {
  const each = right.length / cells.length
  const hidden = Array.from(cells.keys()).filter((cell) => cells[cell] === HIDDEN)
  let bits = 0
  for (const cell of hidden)
    for (let at = cell * each; at < (cell + 1) * each; at++)
      if (right[at]! > 0) bits += right[at]! * Math.log2(right[at]! / Math.max(predicted[at]!, 1e-12))
  return hidden.length ? Math.max(0, bits / hidden.length) : 0
}
