// Grids from files, with the words that Python uses for what is wrong with them.
import type { Model, Puzzle, SideMaps, Symbol } from './backend'
import { type Chunk, chunksOf, isPng, pixelsOf, text, unzip } from './bytes'
import { HIDDEN } from './grid'
import { checkSide, mapsOf } from './side'

/** A picture as it came: pixels are indices into `table` or channels, so that it can be written back in its own mode. */
export interface Drawing {
  width: number; height: number; scale: number; channels: number
  pixels: Uint8Array
  table: number[] | null // colours 0xrrggbbaa of an indexed picture
  chunks: Chunk[]        // what else it says: texts, resolution, colour profile
}
export interface Opened extends Puzzle { drawing: Drawing | null; note: string }

const MOST_PIXELS = 64_000_000, MOST_CELLS = 2 ** 20, MOST_BYTES = 2 ** 28
const GREY = 0x808080ff
const SCALE_NOTE = 'gridcloze:scale'
type Reader = Pick<Model, 'height' | 'width'> & Partial<Pick<Model, 'side' | 'side_classes'>> // a model, or the size alone

/** A grid, with side maps if the file has any and the model takes them. */
export async function readGrid(file: File, model: Reader, symbols: Symbol[]): Promise<Opened> {
  return about(file, 'a grid is a file that ends in .png, .npy, .npz or .txt', (bytes, ending) => {
    if (ending === '.png') return gridOfPng(bytes, model, symbols)
    if (ending === '.txt') return gridOfText(bytes, symbols)
    return gridOfArrays(bytes, ending, model, symbols)
  })
}

/** Side maps of a puzzle: a picture or an array of one, by its name or that of the file; or an array of all. */
export async function readSide(file: File, puzzle: Puzzle, model: Model, name = file.name.replace(/\.[^.]*$/, '')): Promise<SideMaps> {
  return about(file, 'a side map is a file that ends in .png, .npy or .npz', async (bytes, ending) =>
    sideIn(ending === '.png' ? await greyOf(bytes) : chosen(await arraysIn(bytes, ending), 'side'), puzzle, model, name))
}

/** Which cells a second file hides: a picture that is not black there, or an array that is not zero there. */
export async function readMask(file: File, { height, width }: Puzzle): Promise<Uint8Array> {
  const size = (tall: number, wide: number) => {
    if (tall % height || wide % width || tall / height !== wide / width)
      throw new Error(`${tall} by ${wide} do not cover a puzzle of ${height} by ${width} cells; use a mask of its size`)
    return tall / height
  }
  return about(file, 'a mask is a file that ends in .png, .npy or .npz', async (bytes, ending) => {
    const mask = new Uint8Array(height * width)
    if (ending === '.png') {
      const { drawing, colours } = await decoded(bytes), scale = size(drawing.height, drawing.width)
      colours.forEach((colour, at) => {
        if (colour & 0xff && colour >>> 8) mask[cellAt(at, drawing.width, scale)] = 1
      })
    } else {
      const { shape, numbers } = [...(await arraysIn(bytes, ending)).values()][0]!
      if (shape.length !== 2 || size(shape[0]!, shape[1]!) !== 1) throw new Error(`shape (${shape}) is not (${height},${width}), the size of the puzzle`)
      numbers.forEach((number, cell) => { mask[cell] = Number(number !== 0) })
    }
    return mask
  })
}

/** Read a file whose ending is one of those that `line` has; otherwise that is the error. */
async function about<T>(file: File, line: string, read: (bytes: Uint8Array, ending: string) => T | Promise<T>): Promise<T> {
  const ending = `.${file.name.split('.').pop()!.toLowerCase()}`
  try {
    if (!line.split(/,? /).includes(ending)) throw new Error(line)
    if (file.size > MOST_BYTES) throw new Error('this file is too large for the page; use `gridcloze fill`')
    return await read(new Uint8Array(await file.arrayBuffer()), ending)
  } catch (error) {
    throw new Error(`${file.name}: ${(error as Error).message}`, { cause: error })
  }
}

function checked(height: number, width: number): void {
  if (!height || !width) throw new Error(`shape (${height}, ${width}) has no cells`)
  if (height * width > MOST_CELLS)
    throw new Error(`${height} by ${width} cells are more than this page shows; use \`gridcloze fill\`, or cut out a part`)
}

// Pictures

async function decoded(bytes: Uint8Array): Promise<{ drawing: Drawing; colours: Uint32Array }> {
  if (!isPng(bytes)) throw new Error('this is not a PNG picture, whatever its suffix says')
  const chunks = chunksOf(bytes), header = chunks?.[0]?.content, view = header && new DataView(header.buffer, header.byteOffset)
  if (!chunks || chunks[0]!.name !== 'IHDR' || header!.length !== 13) throw new Error('this PNG is damaged or truncated')
  const [width, height] = [view!.getUint32(0), view!.getUint32(4)]
  if (width * height > MOST_PIXELS) throw new Error(`${height} by ${width} pixels are more than ${MOST_PIXELS}; cut the picture into smaller ones`)
  if (header![8] === 16) throw new Error('16 bits per channel are not supported; save the picture with 8')
  const named = (name: string) => chunks.find((chunk) => chunk.name === name)?.content
  if (named('acTL')) throw new Error('this PNG is animated; save the frame to read as a picture of its own')
  const plte = header![9] === 3 ? named('PLTE') : null, trns = named('tRNS')
  const image = await pixelsOf(chunks).catch(() => { throw new Error('this PNG is damaged or truncated') })
  const table = plte ? Array.from({ length: plte.length / 3 }, (_, one) => packed(plte[3 * one]!, plte[3 * one + 1]!, plte[3 * one + 2]!, trns?.[one] ?? 255)) : null
  const { channels, depth } = image, factor = table ? 1 : 255 / (2 ** depth - 1), pixels = image.pixels.map((value) => value * factor)
  const key = !table && trns ? [1, 3, 5].slice(0, channels).map((place) => trns[place]! * factor) : null // the colour that is transparent
  const colours = Uint32Array.from({ length: width * height }, (_, at) => {
    const [one, two, three, four] = pixels.subarray(at * channels, (at + 1) * channels) as unknown as [number, number, number, number]
    if (table) return table[one] ?? refuseIndex(one, table.length)
    const alpha = key?.every((value, channel) => pixels[at * channels + channel] === value) ? 0 : 255
    return channels < 3 ? packed(one, one, one, two ?? alpha) : packed(one, two, three, four ?? alpha)
  })
  const scale = chunks.map(({ content }) => text(content.subarray(0, 24)).split(`${SCALE_NOTE}\0`)).find(([before]) => before === '')?.[1] ?? 0
  const others = chunks.filter(({ name, content }) => isKept(name) && !text(content.subarray(0, 16)).startsWith(SCALE_NOTE))
  return { drawing: { width, height, scale: Number(scale), channels, pixels, table, chunks: others }, colours }
}

function refuseIndex(index: number, n: number): never {
  throw new Error(`this PNG is damaged (index ${index} in a palette of ${n} colours)`)
}

/** The case of a chunk's letters says whether it may be copied to a picture that was changed. */
const isKept = (name: string): boolean =>
  ['gAMA', 'cHRM', 'sRGB', 'iCCP', 'cICP'].includes(name) || (/^[a-z]..[a-z]$/.test(name) && name !== 'tRNS')

export const packed = (red: number, green: number, blue: number, alpha = 255): number =>
  ((red << 24) | (green << 16) | (blue << 8) | alpha) >>> 0

const cellAt = (pixel: number, width: number, scale: number): number =>
  Math.floor(pixel / width / scale) * (width / scale) + Math.floor((pixel % width) / scale)

/** Grey values, NaN where transparent. */
async function greyOf(bytes: Uint8Array): Promise<Numbers> {
  const { drawing: { height, width }, colours } = await decoded(bytes)
  if (colours.some((colour) => colour >>> 16 !== ((colour >>> 8) & 0xffff)))
    throw new Error('a side map is a picture of grey values; save numbers of colours as an array (.npy)')
  return { shape: [height, width], numbers: Float64Array.from(colours, (colour) => (colour & 0xff ? colour >>> 24 : NaN)) }
}

async function gridOfPng(bytes: Uint8Array, model: Reader, symbols: Symbol[]): Promise<Opened> {
  const { drawing, colours } = await decoded(bytes)
  const known = new Map(symbols.map(({ colour }, symbol) => [((parseInt(colour.slice(1, 7), 16) << 8) | 255) >>> 0, symbol]))
  const isHidden = (colour: number) => (colour === GREY || (colour & 0xff) === 0) && !known.has(colour)
  const forSize = drawing.height / model.height
  const candidates = [drawing.scale, forSize * model.width === drawing.width ? forSize : 0]
  const scale = candidates.find((one) => fits(colours, drawing, one, isHidden)) ?? findScale(colours, drawing)
  const height = drawing.height / scale, width = drawing.width / scale
  checked(height, width)
  const cells = new Int16Array(height * width).fill(-2)
  colours.forEach((colour, at) => {
    const cell = cellAt(at, drawing.width, scale), symbol = isHidden(colour) ? HIDDEN : known.get(colour)
    if (symbol === undefined) throw new Error(`row ${Math.floor(cell / width)}, column ${cell % width}: colour ${named(colour)} is not in the palette of the model; ${advice(symbols)}`)
    if (cells[cell] !== HIDDEN) cells[cell] = symbol
  })
  return { height, width, cells, drawing: { ...drawing, scale }, note: '' }
}

const named = (colour: number): string => `#${(colour >>> 8).toString(16).padStart(6, '0')}`
const advice = (symbols: Symbol[]): string =>
  symbols.length > 6 ? `it has ${symbols.length} others` : `it knows ${symbols.map((symbol) => symbol.colour).join(', ')}, and grey #808080 is hidden`

/** Whether the visible pixels of each cell are alike, and no more cells are hidden in part than none of. */
function fits(colours: Uint32Array, { width, height }: Drawing, scale: number, isHidden: (colour: number) => boolean): boolean {
  if (!Number.isInteger(scale) || scale < 1 || width % scale || height % scale) return false
  const n = (width * height) / scale ** 2
  const shown = new Float64Array(n).fill(-1), hidden = new Int32Array(n)
  for (const [at, colour] of colours.entries()) {
    const cell = cellAt(at, width, scale)
    if (isHidden(colour)) hidden[cell]!++
    else if (shown[cell] === -1) shown[cell] = colour
    else if (shown[cell] !== colour) return false
  }
  const inPart = hidden.filter((count) => count > 0 && count < scale ** 2).length
  return inPart <= hidden.filter((count) => count === 0).length
}

/** The largest scale at which every change of colour is between cells; 1 if there is none. */
function findScale(colours: Uint32Array, { width, height }: Drawing): number {
  let common = 0
  const divisor = (a: number, b: number): number => (b ? divisor(b, a % b) : a)
  for (let at = 0; at < colours.length; at++) {
    if (at % width && colours[at] !== colours[at - 1]) common = divisor(common, at % width)
    if (at >= width && colours[at] !== colours[at - width]) common = divisor(common, Math.floor(at / width))
  }
  return common ? divisor(divisor(common, width), height) : 1
}

// Texts and arrays

function gridOfText(bytes: Uint8Array, symbols: Symbol[]): Opened {
  let content
  try { content = new TextDecoder('utf-8', { fatal: true }).decode(bytes) } catch { throw new Error('this is not text in UTF-8') }
  const lines = content.replace(/\r\n?/g, '\n').replace(/\n+$/, '').split('\n').map((line) => Array.from(line))
  const width = lines[0]!.length
  checked(lines.length, width)
  const cells = lines.flatMap((characters, row) => {
    if (characters.length !== width) throw new Error(`line ${row + 1} has ${characters.length} characters, line 1 has ${width}; all lines need the same length, at least 1`)
    return characters.map((character, column) => {
      const symbol = symbols.findIndex((one) => one.character === character)
      if (symbol < 0 && character !== '?') throw new Error(`row ${row}, column ${column}: character '${character}' is not in the palette of the model; it knows ${symbols.map((one) => one.character).join(' ')} and ? for hidden`)
      return symbol // -1 is hidden
    })
  })
  return { height: lines.length, width, cells: Int16Array.from(cells), drawing: null, note: '' }
}

interface Numbers { shape: number[]; numbers: Float64Array }

async function gridOfArrays(bytes: Uint8Array, ending: string, model: Reader, symbols: Symbol[]): Promise<Opened> {
  const arrays = await arraysIn(bytes, ending), { shape, numbers } = chosen(arrays, 'cells', 'fill')
  const [height, width] = shape.slice(-2) as [number, number]
  if (shape.length < 2 || shape.length > 3) throw new Error(`shape (${shape}) is neither a grid (height, width) nor a stack (n, height, width)`)
  checked(height, width)
  const hidden = arrays.get('hidden')?.numbers
  const cells = Int16Array.from(numbers.subarray(0, height * width), (number, cell) => {
    if (Number.isNaN(number) || number === HIDDEN || hidden?.[cell]) return HIDDEN
    if (!Number.isInteger(number) || number < 0 || number >= symbols.length)
      throw new Error(`row ${Math.floor(cell / width)}, column ${cell % width}: ${number} is not a symbol 0 … ${symbols.length - 1} of the model`)
    return number
  })
  const n = shape.length === 3 ? shape[0]! : 1, side = arrays.get('side')
  return {
    height, width, cells, drawing: null, note: n > 1 ? `The first of ${n} grids is shown.` : '',
    ...(side && model.side?.length && { side: sideIn(side, { height, width, cells }, model as Model, '') }),
  }
}

/** Of a file the array without a name, the first of these names that it has, or the only one. */
function chosen(arrays: Map<string, Numbers>, ...names: string[]): Numbers {
  const found = ['', ...names].find((name) => arrays.has(name)) ?? (arrays.size === 1 ? [...arrays.keys()][0] : undefined)
  if (found === undefined) throw new Error(`of its arrays ${[...arrays.keys()].join(', ')} none is named ${names[0]}; name one so`)
  return arrays.get(found)!
}

/** One map (height, width), whose pixels may be larger than cells, or all maps of a grid or of the first in a stack. */
function sideIn({ shape, numbers }: Numbers, puzzle: Puzzle, model: Model, name: string): SideMaps {
  const { height, width, cells } = puzzle, isOne = shape.length === 2, n = isOne ? 1 : shape.at(-1)!
  const [tall, wide] = shape.slice(isOne ? -2 : -3) as [number, number], scale = isOne ? tall / height : 1
  if (shape.length < 2 || shape.length > 4 || scale % 1 || tall !== scale * height || wide !== scale * width)
    throw new Error(`it is ${shape.join(' by ')} and the grid ${height} by ${width} cells; both need the same size`)
  const maps = Array.from({ length: n }, (_, map) => Float32Array.from(cells, (_, cell) =>
    numbers[scale * (Math.floor(cell / width) * wide + (cell % width)) * n + map]!))
  const names = isOne ? model.side.filter((one, _, all) => one === name || all.length === 1) : model.side
  if (!names.length) throw new Error(`is it ${model.side.join(' or ')}? Give the file one of these names, or open it next to that name`)
  if (!isOne) checkSide(maps, model, width)
  const side = new Map(names.map((one, map) => [one, maps[map]!]))
  checkSide(mapsOf({ ...puzzle, side }, model.side), model, width)
  return side
}

async function arraysIn(bytes: Uint8Array, ending: string): Promise<Map<string, Numbers>> {
  if (ending === '.npy') return new Map([['', numbersIn(bytes)]])
  const files = await unzip(bytes, MOST_BYTES).catch(() => { throw new Error('this npz file is damaged or truncated') })
  const wanted = [...files].filter(([name]) => files.size === 1 || !/^(samples|marginals|log_prob_bits)\.npy$/.test(name))
  if (!wanted.length) throw new Error('this npz file has no array')
  return new Map(wanted.map(([name, content]) => [name.replace(/\.npy$/, ''), numbersIn(content)]))
}

const GETTERS: Record<string, (view: DataView, at: number, little: boolean) => number> = {
  b1: (view, at) => view.getInt8(at), i1: (view, at) => view.getInt8(at), u1: (view, at) => view.getUint8(at),
  i2: (view, at, little) => view.getInt16(at, little), u2: (view, at, little) => view.getUint16(at, little),
  i4: (view, at, little) => view.getInt32(at, little), u4: (view, at, little) => view.getUint32(at, little),
  i8: (view, at, little) => Number(view.getBigInt64(at, little)), u8: (view, at, little) => Number(view.getBigUint64(at, little)),
  f4: (view, at, little) => view.getFloat32(at, little), f8: (view, at, little) => view.getFloat64(at, little),
}

function numbersIn(bytes: Uint8Array): Numbers {
  if (text(bytes.subarray(0, 6)) !== '\x93NUMPY') throw new Error('this is not an npy file, whatever its suffix says')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const start = bytes[6] === 1 ? 10 : 12
  const length = bytes[6] === 1 ? view.getUint16(8, true) : view.getUint32(8, true)
  const header = text(bytes.subarray(start, start + Math.min(length, 10_000)))
  const [, order, type] = /'descr':\s*'([<>|=])(\w+)'/.exec(header) ?? []
  const shape = (/'shape':\s*\(([^)]*)\)/.exec(header)?.[1] ?? '').split(',').filter((part) => part.trim()).map(Number)
  const get = GETTERS[type ?? ''], n = shape.reduce((product, side) => product * side, 1)
  if (!get) throw new Error(`values of type ${type ?? 'unknown'} are not read here; save integers, or floats of 32 or 64 bits`)
  const size = Number(type!.slice(1)), first = start + length
  if (first + n * size > bytes.length) throw new Error('this npy file is damaged or truncated')
  const isTurned = header.includes("'fortran_order': True") // the first axis is the fastest
  return {
    shape,
    numbers: Float64Array.from({ length: n }, (_, at) => {
      let place = isTurned ? 0 : at
      for (let axis = shape.length - 1, step = n; isTurned && axis >= 0; axis--) {
        step /= shape[axis]!
        place += (at % shape[axis]!) * step
        at = Math.floor(at / shape[axis]!)
      }
      return get(view, first + place * size, order !== '>')
    }),
  }
}
