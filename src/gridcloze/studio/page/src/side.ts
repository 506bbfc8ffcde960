// Side maps: what is known about every cell besides its symbol, as side.py has it.
import type { Model, Puzzle } from './backend'
import { InputError } from './engine/predictor'
import { place } from './numbers'

/** A side map of a model: of classes, or of numbers, which are standardised. */
export interface Channel { name: string; classes: number[]; mean: number; deviation: number }

/** The side maps of a puzzle that a model has, in its order: unknown where the puzzle has none of that name. */
export const mapsOf = ({ side, cells }: Puzzle, names: string[]): Float32Array[] =>
  names.map((name) => side?.get(name) ?? new Float32Array(cells.length).fill(NaN))

export const isKnown = (map: Float32Array): boolean => !map.every(Number.isNaN)

/** A number as Python's format `g` writes it. */
export const short = (value: number, digits = 6): string => String(Number(value.toPrecision(digits))).replace('Infinity', 'inf')

/** A map as values from 0 to 1, with what these stand for, and how many there are. */
export function stretched(map: Float32Array): { values: Float32Array; least: number; most: number; n: number } {
  let least = Infinity, most = -Infinity, n = 0
  for (const value of map) if (!Number.isNaN(value)) [least, most, n] = [Math.min(least, value), Math.max(most, value), n + 1]
  return { values: map.map((value) => (value - least) / (most - least || 1)), least, most, n }
}

/** Refuse side maps that a model cannot take. */
export function checkSide(maps: Float32Array[], { side, side_classes }: Model, width: number): void {
  if (maps.length !== side.length) throw new InputError(`there are ${maps.length} side maps, and the model has ${side.length} (${side.join(', ') || 'none'})`)
  maps.forEach((map, number) => {
    const classes = side_classes[number]!
    const wrong = map.findIndex((value) => !Number.isNaN(value) && (classes.length ? !classes.includes(value) : !Number.isFinite(value)))
    if (wrong < 0) return
    const where = `side map '${side[number]}' is ${short(map[wrong]!)} at grid 0, ${place(wrong, width)}`
    throw new InputError(`${where}${classes.length ? `, and in the examples ${classes.map((one) => short(one)).join(', ')} only` : ': write NaN if unknown'}`)
  })
}

/** What a model gets for each cell: a bit for each class or the standardised number, and a bit that says that it is unknown. */
export function encoded(channels: Channel[], maps: Float32Array[]): number[] {
  return Array.from(maps[0]!, (_, cell) => channels.flatMap(({ classes, mean, deviation }, number) => {
    const value = maps[number]![cell]!, isUnknown = Number.isNaN(value)
    const known = classes.length ? classes.map((one) => Number(one === value))
      : [isUnknown ? 0 : Math.fround(Math.fround(value - Math.fround(mean)) / Math.fround(deviation))]
    return [...known, Number(isUnknown)]
  })).flat()
}
