// Colours: those of our pictures, so that a figure and the page read alike.
import type { Puzzle, Symbol } from './backend'
import { HIDDEN } from './grid'

/** Matplotlib's cividis, which reads the same to colour-blind eyes and in grey: red, green and blue of 256 steps. */
const CIVIDIS = Uint8Array.from(atob(
  'ACJNACNPACNQACRSACVUACZVACZXACdZAChbAChcACleACpgACpiACtkACxmACxnAC1pAC5rAC9tAC9vADBwADBwADFwADFwBDJwCDNwCzNwDjRw' +
  'ETVvFDZvFjZvGDdvGjhvHDhuHTluHzpuITtuIjtuJDxuJT1tJz1tKD5tKj9tKz9tLEBtLkFsL0JsMEJsMUNsMkRsNERsNUVsNkZsN0ZsOEdsOUhs' +
  'OkhrO0lrPUprPktrP0trQExrQU1rQk1rQ05rRE9rRU9rRlBrR1FrSFFrSVJrSlNrS1RsTFRsTVVsTlZsTlZsT1dsUFhsUVhsUllsU1psVFpsVVtt' +
  'VlxtV11tWF1tWV5tWV9tWl9tW2BuXGFuXWFuXmJuX2NuYGRuYWRvYWVvYmZvY2ZvZGdvZWhwZmlwZ2lwaGpwaGtxaWtxamxxa21xbG1ybW5ybm9y' +
  'bnBzb3BzcHFzcXJzcnN0c3N0dHR1dHV1dXV1dnZ2d3d2eHh2eXh3eXl3enp3e3t3fHt4fXx4fn14f314gH54gX94goB4g4B4hIF4hYJ4hYN4hoN4' +
  'h4R4iIV4iYZ4ioZ4i4d4jIh4jYl4jol4j4p3kIt3kYx3kox3k413lI53lY93lo93l5B2mJF2mZJ2mpN2m5N2nJR2nZV1npZ1n5Z1oJd1oZh0opl0' +
  'o5p0pJp0pZtzppxzp51zqJ5zqZ5yqp9yq6ByrKFxraJxrqJxr6NwsKRwsaVwsqZvs6ZvtKdvtahutqlut6ptuKttuattuqxsu61svK5rva9rvrBq' +
  'v7BqwbFpwrJpw7NoxLRoxbVnxrVnx7ZmyLdlybhlyrlky7pkzLtjzbxizrxiz71h0L5g0r9g08Bf1MFe1cJe1sNd18Nc2MRb2cVa2sZa28dZ3MhY' +
  '3slX38pW4MtV4cxU4sxT481S5M5R5c9Q5tBP6NFO6dJN6tNM69RL7NVK7dZI7tdH79hG8dlE8tpD89pC9NtA9dw/9t09+N47+d86+uA4++E2/eI0' +
  '/eMz/eU0/eY2/ec3',
), (character) => character.charCodeAt(0))
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
  const step = 3 * Math.min(255, Math.max(0, Math.floor(256 * value)))
  return (CIVIDIS[step]! << 16) | (CIVIDIS[step + 1]! << 8) | CIVIDIS[step + 2]!
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
