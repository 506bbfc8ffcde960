// What is written: PNG as Python writes it, npz, SVG and GIF.
import type { Puzzle, Sample, Symbol } from './backend'
import { bytesOfText, joined, png, zip } from './bytes'
import { bytesOf, css, GREY, NOTHING, type Picture, rgb } from './colours'
import { type Drawing, packed } from './files'
import { HIDDEN } from './grid'

interface Raster { height: number; width: number; colours: Int32Array }

export function save(name: string, bytes: Uint8Array | string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([bytes as BlobPart]))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}

/** Pictures side by side, each cell a square of `scale` pixels. */
export function tiled(pictures: Picture[], scale: number, columns: number): Raster {
  const { height, width } = pictures[0]!, gap = pictures.length > 1 ? scale : 0
  const wide = Math.min(columns, pictures.length) * (width * scale + gap) - gap
  const tall = Math.ceil(pictures.length / columns) * (height * scale + gap) - gap
  const colours = new Int32Array(wide * tall).fill(0xffffff)
  pictures.forEach((picture, one) => {
    const top = Math.floor(one / columns) * (height * scale + gap), left = (one % columns) * (width * scale + gap)
    for (let row = 0; row < height * scale; row++)
      for (let column = 0; column < width * scale; column++) {
        const colour = picture.colours[Math.floor(row / scale) * width + Math.floor(column / scale)]!
        if (colour !== NOTHING) colours[(top + row) * wide + left + column] = colour
      }
  })
  return { height: tall, width: wide, colours }
}

// PNG

const pngOf = ({ width, height, channels, pixels, table, chunks, scale }: Drawing): Promise<Uint8Array> => png({ width, height, channels, pixels }, table !== null, [
  ...(scale ? [{ name: 'tEXt', content: bytesOfText(`gridcloze:scale\0${scale}`) }] : []), ...chunks,
  ...(table ? [{ name: 'PLTE', content: Uint8Array.from(table.flatMap((colour) => bytesOf(colour >>> 8))) }] : []),
  ...(table?.some((colour) => (colour & 255) < 255) ? [{ name: 'tRNS', content: Uint8Array.from(table, (colour) => colour & 255) }] : []),
])

export function pngOfRaster({ width, height, colours }: Raster): Promise<Uint8Array> {
  const table = [...new Set(colours)], blank = { width, height, scale: 0, chunks: [] }
  if (table.length > 256) return pngOf({ ...blank, channels: 3, table: null, pixels: Uint8Array.from(Array.from(colours, bytesOf).flat()) })
  const index = new Map(table.map((colour, at) => [colour, at]))
  return pngOf({ ...blank, channels: 1, table: table.map((colour) => packed(...bytesOf(colour))), pixels: Uint8Array.from(colours, (colour) => index.get(colour)!) })
}

/** A grid as a picture: in the mode of the one it came from, of which only cells that differ are repainted. */
export async function pngOfCells({ height, width, cells }: Puzzle, symbols: Symbol[], drawing: Drawing | null): Promise<Uint8Array> {
  const colours = [...symbols.map((symbol) => rgb(symbol.colour)), GREY]
  const wanted = Int32Array.from(cells, (symbol) => colours.at(symbol)!) // HIDDEN is -1, the last
  if (drawing && drawing.width === width * drawing.scale && drawing.height === height * drawing.scale) return pngOf(repainted(drawing, wanted, width))
  const isGrey = symbols.every(({ colour }) => colour.slice(1, 3) === colour.slice(3, 5) && colour.slice(3, 5) === colour.slice(5, 7))
  const scale = Math.max(1, Math.min(16, Math.floor(1024 / Math.max(height, width))))
  const fresh = (channels: number, each: (symbol: number) => number[], table: number[] | null): Promise<Uint8Array> => {
    const pixels = new Uint8Array(height * width * scale ** 2 * channels)
    for (let at = 0; at < pixels.length / channels; at++) pixels.set(each(cells[cellOf(at, width, scale)]!), at * channels)
    return pngOf({ width: width * scale, height: height * scale, channels, scale, pixels, table, chunks: [] })
  }
  if (isGrey) return fresh(1, (symbol) => [colours.at(symbol)! & 255], null)
  if (colours.length > 256 && cells.includes(HIDDEN)) return fresh(3, (symbol) => bytesOf(colours.at(symbol)!), null)
  return fresh(1, (symbol) => [symbol === HIDDEN ? colours.length - 1 : symbol], colours.slice(0, 256).map((colour) => packed(...bytesOf(colour))))
}

const cellOf = (pixel: number, width: number, scale: number): number =>
  Math.floor(pixel / (width * scale) / scale) * width + Math.floor((pixel % (width * scale)) / scale)

function repainted(drawing: Drawing, wanted: Int32Array, width: number): Drawing {
  const { channels, scale } = drawing, table = drawing.table && [...drawing.table]
  const needsColour = !table && channels < 3 && wanted.some((colour) => new Set(bytesOf(colour)).size > 1)
  if (needsColour) {
    const wide = Uint8Array.from({ length: (drawing.pixels.length / channels) * 4 }, (_, at) =>
      at % 4 === 3 ? (channels === 2 ? drawing.pixels[(at >> 2) * 2 + 1]! : 255) : drawing.pixels[(at >> 2) * channels]!)
    return repainted({ ...drawing, channels: 4, pixels: wide, chunks: [] }, wanted, width)
  }
  const pixels = drawing.pixels.slice()
  for (let at = 0; at < pixels.length / channels; at++) {
    const colour = wanted[cellOf(at, width, scale)]!, bytes = bytesOf(colour)
    if (table) {
      const before = table[pixels[at]!]!
      if (before === packed(...bytes) || ((before & 255) === 0 && colour === GREY)) continue
      let index = table.indexOf(packed(...bytes))
      if (index < 0) index = table.push(packed(...bytes)) - 1
      if (index > 255) throw new Error('the picture\'s palette (PLTE) has no room for another colour; save the picture as RGB')
      pixels[at] = index
    } else if (channels < 3) pixels.set(channels === 1 ? [bytes[0]] : [bytes[0], 255], at * channels)
    else pixels.set(channels === 3 ? bytes : [...bytes, 255], at * channels)
  }
  return { ...drawing, pixels, table }
}

// Arrays

export function npy(data: Int16Array | Float32Array | Float64Array, shape: number[]): Uint8Array {
  const type = data instanceof Int16Array ? '<i2' : data instanceof Float32Array ? '<f4' : '<f8'
  const text = `{'descr': '${type}', 'fortran_order': False, 'shape': (${shape.join(', ')}${shape.length === 1 ? ',' : ''}), }`
  const header = text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11) + '\n'
  const start = [...bytesOfText('\x93NUMPY\x01\0'), header.length & 255, header.length >> 8]
  return joined([start, bytesOfText(header), new Uint8Array(data.buffer, data.byteOffset, data.byteLength)])
}

/** The arrays of `gridcloze fill`: those that are there. */
export function npz({ height, width }: Puzzle, fill: Sample | null, samples: Sample[] | null, marginals: Float32Array | null): Promise<Uint8Array> {
  const files: Record<string, Uint8Array> = {}
  if (fill) {
    files['fill.npy'] = npy(fill.cells, [height, width])
    files['log_prob_bits.npy'] = npy(Float64Array.of(fill.logProbBits), [])
  }
  if (samples) files['samples.npy'] = npy(Int16Array.from(samples.flatMap(({ cells }) => Array.from(cells))), [samples.length, height, width])
  if (marginals) files['marginals.npy'] = npy(marginals, [height, width, marginals.length / height / width])
  return zip(files)
}

export const textOf = ({ width, cells }: Puzzle, symbols: Symbol[]): string =>
  Array.from(cells, (symbol, cell) => (symbols[symbol]?.character ?? '?') + (cell % width === width - 1 ? '\n' : '')).join('')

// SVG and GIF

export function svg({ height, width, colours }: Picture, title: string): string {
  const runs = new Map<number, string>()
  for (let cell = 0; cell < colours.length;) {
    const colour = colours[cell]!, row = Math.floor(cell / width)
    let end = cell + 1
    while (end % width && colours[end] === colour) end++
    runs.set(colour, `${runs.get(colour) ?? ''}M${cell % width} ${row}h${end - cell}v1h-${end - cell}z`)
    cell = end
  }
  const paths = [...runs].map(([colour, path]) => `<path fill="${colour === NOTHING ? '#ffffff' : css(colour)}" d="${path}"/>`)
  const safe = title.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width * 16}" height="${height * 16}" shape-rendering="crispEdges"><title>${safe}</title>\n${paths.join('\n')}\n</svg>\n`
}

/** An endless film of pictures; the last frame stays for two seconds. */
export function gif(pictures: Picture[], milliseconds: number): Uint8Array {
  const { height, width } = pictures[0]!
  const scale = Math.max(1, Math.min(16, Math.floor(512 / Math.max(height, width))))
  const colours = [...new Set(pictures.flatMap((picture) => [...new Set(picture.colours)]))].slice(0, 256)
  const index = new Map(colours.map((colour, at) => [colour, at]))
  const bits = Math.max(2, Math.ceil(Math.log2(colours.length)))
  const table = Array.from({ length: 2 ** bits }, (_, at) => bytesOf(Math.max(0, colours[at] ?? 0))).flat()
  const word = (number: number) => [number & 255, number >> 8]
  const frames = pictures.flatMap((picture, number) => {
    const raster = tiled([picture], scale, 1)
    const delay = (number === pictures.length - 1 ? 2000 : milliseconds) / 10
    const place = [0x2c, ...word(0), ...word(0), ...word(raster.width), ...word(raster.height), 0, bits]
    return [[0x21, 0xf9, 4, 4, ...word(delay), 0, 0], place, blocks(compressed(raster.colours, index, bits)), [0]]
  })
  const screen = [...word(width * scale), ...word(height * scale), 0x80 | (bits - 1), 0, 0]
  const forever = [0x21, 0xff, 11, ...bytesOfText('NETSCAPE2.0'), 3, 1, 0, 0, 0]
  return joined([bytesOfText('GIF89a'), screen, table, forever, ...frames, [0x3b]])
}

function blocks(bytes: number[]): Uint8Array {
  const parts = []
  for (let at = 0; at < bytes.length; at += 255) parts.push([Math.min(255, bytes.length - at), ...bytes.slice(at, at + 255)])
  return joined(parts)
}

/** Indices by the LZW of GIF: codes of growing length, the lowest bit first. */
function compressed(colours: Int32Array, index: Map<number, number>, bits: number): number[] {
  const clear = 2 ** bits, bytes: number[] = []
  let codes = new Map<number, number>(), next = clear + 2, size = bits + 1, held = 0, n = 0
  const write = (code: number) => {
    held |= code << n
    for (n += size; n >= 8; n -= 8, held >>>= 8) bytes.push(held & 255)
  }
  write(clear)
  let prefix = index.get(colours[0]!) ?? 0
  for (const colour of colours.subarray(1)) {
    const one = index.get(colour) ?? 0, known = codes.get((prefix << 8) | one)
    if (known !== undefined) { prefix = known; continue }
    write(prefix)
    codes.set((prefix << 8) | one, next)
    if (next === 2 ** size) size++
    if (++next > 4095) {
      write(clear)
      codes = new Map()
      next = clear + 2
      size = bits + 1
    }
    prefix = one
  }
  write(prefix)
  write(clear + 1)
  if (n) bytes.push(held & 255)
  return bytes
}
