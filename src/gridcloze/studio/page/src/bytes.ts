// Bytes: what the browser compresses for us, and the two containers that we need of it, PNG and zip.
type Format = 'deflate' | 'deflate-raw' // zlib, as in PNG, and bare, as in zip

export const text = (bytes: Uint8Array): string => String.fromCharCode(...bytes)
export const bytesOfText = (characters: string): Uint8Array => Uint8Array.from(characters, (character) => character.charCodeAt(0))

export function joined(parts: ArrayLike<number>[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((total, part) => total + part.length, 0))
  let at = 0
  for (const part of parts) { bytes.set(part, at); at += part.length }
  return bytes
}

const through = (bytes: Uint8Array, stream: CompressionStream | DecompressionStream) => new Blob([bytes as BlobPart]).stream().pipeThrough(stream)
export const squeeze = async (bytes: Uint8Array, format: Format): Promise<Uint8Array> =>
  new Uint8Array(await new Response(through(bytes, new CompressionStream(format))).arrayBuffer())

/** Decompress, and stop where a file says less than it holds. */
export async function unsqueeze(bytes: Uint8Array, format: Format, most: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let left = most
  for (const reader = through(bytes, new DecompressionStream(format)).getReader(); ;) {
    const { done, value } = await reader.read()
    if (done) return joined(parts)
    left -= value.length
    if (left < 0) { void reader.cancel(); throw new Error('more bytes than it should have') }
    parts.push(value)
  }
}

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1
  return byte
})
export const checksum = (bytes: Uint8Array): number => ~bytes.reduce((crc, byte) => CRC[(crc ^ byte) & 255]! ^ (crc >>> 8), -1) >>> 0
const word = (number: number, bytes: number): number[] => Array.from({ length: bytes }, (_, at) => (number >>> (8 * at)) & 255)

// PNG

export interface Chunk { name: string; content: Uint8Array }
export interface Pixels { width: number; height: number; channels: number; depth: number; pixels: Uint8Array } // a byte for each channel
const START = [0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]

/** The chunks of a PNG with the right checksums; null if it is damaged. */
export function chunksOf(bytes: Uint8Array): Chunk[] | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length), chunks: Chunk[] = []
  for (let at = 8; at + 12 <= bytes.length;) {
    const end = at + 8 + view.getUint32(at)
    if (end + 4 > bytes.length || checksum(bytes.subarray(at + 4, end)) !== view.getUint32(end)) return null
    chunks.push({ name: text(bytes.subarray(at + 4, at + 8)), content: bytes.subarray(at + 8, end) })
    if (chunks.at(-1)!.name === 'IEND') return chunks
    at = end + 4
  }
  return null
}
export const isPng = (bytes: Uint8Array): boolean => START.every((byte, at) => bytes[at] === byte)
const ADAM7 = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]] as const // x, y, and steps

/** The pixels of a PNG of up to 8 bits per channel, as they are stored. */
export async function pixelsOf(chunks: Chunk[]): Promise<Pixels> {
  const header = chunks[0]!.content, view = new DataView(header.buffer, header.byteOffset)
  const width = view.getUint32(0), height = view.getUint32(4), depth = header[8]!, channels = [1, 0, 3, 1, 2, 0, 4][header[9]!]!
  const passes = header[12] ? ADAM7 : [[0, 0, 1, 1] as const]
  const sizes = passes.map(([x, y, right, down]) => ({ wide: Math.max(0, Math.ceil((width - x) / right)), tall: Math.max(0, Math.ceil((height - y) / down)) }))
  const stride = (wide: number) => Math.ceil((wide * channels * depth) / 8)
  const total = sizes.reduce((sum, { wide, tall }) => sum + (wide ? tall * (stride(wide) + 1) : 0), 0)
  const data = await unsqueeze(joined(chunks.filter(({ name }) => name === 'IDAT').map(({ content }) => content)), 'deflate', total)
  if (data.length < total) throw new Error('too few pixels')
  const pixels = new Uint8Array(width * height * channels), step = Math.max(1, (channels * depth) >> 3)
  let at = 0
  passes.forEach(([x, y, right, down], pass) => {
    const { wide, tall } = sizes[pass]!, length = stride(wide)
    let above = new Uint8Array(length)
    for (let row = 0; wide && row < tall; row++, at += length + 1) {
      const line = unfiltered(data[at]!, data.subarray(at + 1, at + 1 + length), above, step)
      for (let one = 0; one < wide * channels; one++) {
        const bit = one * depth, value = (line[bit >> 3]! >> (8 - depth - (bit & 7))) & (2 ** depth - 1)
        pixels[((y + row * down) * width + x + Math.floor(one / channels) * right) * channels + (one % channels)] = value
      }
      above = line
    }
  })
  return { width, height, channels, depth, pixels }
}

function unfiltered(filter: number, line: Uint8Array, above: Uint8Array, step: number): Uint8Array<ArrayBuffer> {
  const result = Uint8Array.from(line)
  if (filter > 4) throw new Error('unknown filter')
  for (let at = 0; filter && at < result.length; at++) {
    const left = at < step ? 0 : result[at - step]!, up = above[at]!, corner = at < step ? 0 : above[at - step]!
    const [toLeft, toUp, toCorner] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)]
    const nearest = toLeft <= toUp && toLeft <= toCorner ? left : toUp <= toCorner ? up : corner
    result[at]! += [0, left, up, (left + up) >> 1, nearest][filter]!
  }
  return result
}

export async function png({ width, height, channels, pixels }: Omit<Pixels, 'depth'>, table: boolean, chunks: Chunk[]): Promise<Uint8Array> {
  const lines = new Uint8Array(height * (width * channels + 1)) // each begins with 0: no filter
  for (let row = 0; row < height; row++) lines.set(pixels.subarray(row * width * channels, (row + 1) * width * channels), row * (width * channels + 1) + 1)
  const header = Uint8Array.of(...word(width, 4).reverse(), ...word(height, 4).reverse(), 8, table ? 3 : [0, 0, 4, 2, 6][channels]!, 0, 0, 0)
  const all = [{ name: 'IHDR', content: header }, ...chunks, { name: 'IDAT', content: await squeeze(lines, 'deflate') }, { name: 'IEND', content: new Uint8Array() }]
  return joined([START, ...all.flatMap(({ name, content }) => {
    const named = joined([bytesOfText(name), content])
    return [word(content.length, 4).reverse(), named, word(checksum(named), 4).reverse()]
  })])
}

// Zip

/** A zip file of uncompressed or compressed files, as numpy writes them. */
export async function zip(files: Record<string, Uint8Array>): Promise<Uint8Array> {
  const parts: ArrayLike<number>[] = [], directory: ArrayLike<number>[] = []
  let at = 0
  for (const [name, content] of Object.entries(files)) {
    const squeezed = await squeeze(content, 'deflate-raw')
    const about = [20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0, ...word(checksum(content), 4), ...word(squeezed.length, 4), ...word(content.length, 4), ...word(name.length, 2), 0, 0]
    directory.push([0x50, 0x4b, 1, 2, 20, 0, ...about, ...word(0, 10), ...word(at, 4)], bytesOfText(name))
    const whole = [[0x50, 0x4b, 3, 4, ...about], bytesOfText(name), squeezed]
    parts.push(...whole)
    at += whole.reduce((sum, part) => sum + part.length, 0)
  }
  const n = word(Object.keys(files).length, 2), listed = joined(directory)
  return joined([...parts, listed, [0x50, 0x4b, 5, 6, 0, 0, 0, 0, ...n, ...n, ...word(listed.length, 4), ...word(at, 4), 0, 0]])
}

/** The files of a zip file, by name, each of at most some bytes. */
export async function unzip(bytes: Uint8Array, most: number): Promise<Map<string, Uint8Array>> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length), files = new Map<string, Uint8Array>()
  let end = bytes.length - 22
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--
  let at = view.getUint32(end + 16, true)
  for (let n = view.getUint16(end + 10, true); n > 0; n--) {
    const [length, extra, comment] = [28, 30, 32].map((place) => view.getUint16(at + place, true)) as [number, number, number]
    const local = view.getUint32(at + 42, true), start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true)
    const content = bytes.subarray(start, start + view.getUint32(at + 20, true))
    const whole = view.getUint16(at + 10, true) ? await unsqueeze(content, 'deflate-raw', Math.min(most, view.getUint32(at + 24, true))) : content
    if (checksum(whole) !== view.getUint32(at + 16, true)) throw new Error('a file in it is damaged')
    files.set(text(bytes.subarray(at + 46, at + 46 + length)), whole)
    at += 46 + length + extra + comment
  }
  return files
}
