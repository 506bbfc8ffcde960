import { expect, test } from 'vitest'
import { bytesOfText, chunksOf, png, text, unzip, zip } from '../src/bytes'
import { WHITE_AND_BLACK } from '../src/colours'
import type { Model } from '../src/backend'
import { readGrid, readMask, readSide } from '../src/files'
import { HIDDEN, presets, sheetOf } from '../src/grid'
import { gif, npy, npz, pngOfCells, svg, textOf } from '../src/saving'
import { packed, unpacked } from '../src/share'

const COLOURED = ['#000000', '#e69f00', '#56b4e9'].map((colour, at) => ({ name: `class ${at}`, character: 'abc'[at]!, colour }))
const size = { height: 16, width: 16 }
const file = (bytes: Uint8Array | string, name: string) => new File([bytes as BlobPart], name)

test('a puzzle comes back from every format as it was', async () => {
  const puzzle = presets()[0]!
  for (const [bytes, name] of [[await pngOfCells(puzzle, WHITE_AND_BLACK, null), 'a.png'], [textOf(puzzle, WHITE_AND_BLACK), 'a.txt'], [npy(puzzle.cells, [16, 16]), 'a.npy']] as const)
    expect((await readGrid(file(bytes, name), size, WHITE_AND_BLACK)).cells, name).toEqual(puzzle.cells)
  const filled = { cells: puzzle.beneath, logProbBits: -3, passes: [] }
  expect((await readGrid(file(await npz(puzzle, filled, [filled], null), 'a.npz'), size, WHITE_AND_BLACK)).cells).toEqual(puzzle.beneath)
})

test('an indexed picture stays indexed, with its other chunks, and only cells that differ are repainted', async () => {
  const puzzle = sheetOf(2, 2, [0, 1, 2, HIDDEN])
  const opened = await readGrid(file(await pngOfCells(puzzle, COLOURED, null), 'a.png'), { height: 2, width: 2 }, COLOURED)
  expect(opened.drawing).toMatchObject({ scale: 16, channels: 1 })
  opened.drawing!.chunks.push({ name: 'tEXt', content: new TextEncoder().encode('Author\0nobody') })
  opened.drawing!.table!.reverse() // another order of colours
  opened.drawing!.pixels = opened.drawing!.pixels.map((index) => 3 - index)
  const bytes = await pngOfCells({ ...puzzle, cells: Int16Array.of(0, 1, 2, 1) }, COLOURED, opened.drawing)
  const chunks = chunksOf(bytes)!
  expect(chunks[0]!.content[9]).toBe(3)
  expect([...chunks.find(({ name }) => name === 'PLTE')!.content.subarray(9)]).toEqual([0, 0, 0])
  expect(chunks.filter(({ name }) => name === 'tEXt')).toHaveLength(2)
  expect([...(await readGrid(file(bytes, 'b.png'), { height: 2, width: 2 }, COLOURED)).cells]).toEqual([0, 1, 2, 1])
})

test('a mask hides what is not zero or not black', async () => {
  expect([...(await readMask(file(npy(Int16Array.of(0, 2, 0, 1), [2, 2]), 'm.npy'), sheetOf(2, 2)))]).toEqual([0, 1, 0, 1])
  const picture = await pngOfCells(sheetOf(2, 2, [0, 1, 1, 0]), WHITE_AND_BLACK, null)
  expect([...(await readMask(file(picture, 'm.png'), sheetOf(2, 2)))]).toEqual([0, 1, 1, 0])
})

const sided = { height: 2, width: 3, side: ['zone', 'depth'], side_classes: [[0, 85, 255], []] as number[][] } as Model
const both = Float32Array.of(0, 1.5, 85, -1, 255, NaN, NaN, 0.25, 0, 0, 85, 7) // zone and depth of each cell
const zone = [0, 85, 255, NaN, 0, 85], depth = [1.5, -1, NaN, 0.25, 0, 7]
const opened = async (bytes: Uint8Array, name: string, as?: string) =>
  Object.fromEntries([...await readSide(file(bytes, name), sheetOf(2, 3), sided, as)].map(([one, map]) => [one, [...map]]))

test('side maps come from an array of all, of one, or from a picture of grey values', async () => {
  expect(await opened(npy(both, [2, 3, 2]), 'x.npy')).toEqual({ zone, depth })
  expect(await opened(npy(Float32Array.from(depth), [2, 3]), 'depth.npy')).toEqual({ depth })
  expect(await opened(npy(Float32Array.from(depth), [2, 3]), 'zone.npy', 'depth')).toEqual({ depth })
  const pixels = Uint8Array.from([0, 0, 2, 2].flatMap((row) => [0, 0, 1, 1, 2, 2].map((column) => (row > 1 ? [85, 85, 255] : [0, 255, 85])[column]!)))
  expect(await opened(await png({ width: 6, height: 4, channels: 1, pixels }, false, []), 'zone.png')).toEqual({ zone: [0, 255, 85, 85, 85, 255] })
  const transparent = Uint8Array.of(0, 255, 85, 255, 255, 255, 9, 0, 0, 255, 85, 255) // grey and alpha
  expect(await opened(await png({ width: 3, height: 2, channels: 2, pixels: transparent }, false, []), 'zone.png')).toEqual({ zone })
})

test('a stack brings its side maps, to a model that takes some', async () => {
  const cells = npy(Int16Array.of(0, 1, -1, 0, 1, 1), [1, 2, 3]), bytes = await zip({ 'cells.npy': cells, 'side.npy': npy(both, [1, 2, 3, 2]) })
  const grid = await readGrid(file(bytes, 'a.npz'), sided, WHITE_AND_BLACK)
  expect([[...grid.cells], ...[...grid.side!.values()].map((map) => [...map])]).toEqual([[0, 1, HIDDEN, 0, 1, 1], zone, depth])
  expect((await readGrid(file(bytes, 'a.npz'), { ...sided, side: [] }, WHITE_AND_BLACK)).side).toBeUndefined()
  expect(await opened(bytes, 'a.npz')).toEqual({ zone, depth })
})

test('an array in Fortran\'s order is turned', async () => {
  const turned = Float32Array.from({ length: 12 }, (_, at) => both[((at % 2) * 3 + (Math.floor(at / 2) % 3)) * 2 + Math.floor(at / 6)]!)
  const bytes = bytesOfText(text(npy(turned, [2, 3, 2])).replace("'fortran_order': False", "'fortran_order': True "))
  expect(await opened(bytes, 'x.npy')).toEqual({ zone, depth })
})

test.each<[string, Uint8Array | (() => Promise<Uint8Array>), string]>([
  ['a.txt', npy(both, [2, 3, 2]), 'a.txt: a side map is a file that ends in .png, .npy or .npz'],
  ['a.npy', npy(both, [4, 3]), 'a.npy: it is 4 by 3 and the grid 2 by 3 cells; both need the same size'],
  ['a.npy', npy(both, [3, 2, 2]), 'a.npy: it is 3 by 2 by 2 and the grid 2 by 3 cells; both need the same size'],
  ['a.npy', npy(both, [12]), 'a.npy: it is 12 and the grid 2 by 3 cells; both need the same size'],
  ['a.npy', npy(both.subarray(6), [2, 3]), 'a.npy: is it zone or depth? Give the file one of these names, or open it next to that name'],
  ['a.npy', npy(both.subarray(6), [2, 3, 1]), 'a.npy: there are 1 side maps, and the model has 2 (zone, depth)'],
  ['zone.npy', npy(both.subarray(6), [2, 3]), "zone.npy: side map 'zone' is 0.25 at grid 0, row 0, column 1, and in the examples 0, 85, 255 only"],
  ['depth.npy', npy(Float32Array.of(0, 1, 2, 3, -1 / 0, 5), [2, 3]), "depth.npy: side map 'depth' is -inf at grid 0, row 1, column 1: write NaN if unknown"],
  ['zone.png', () => pngOfCells(sheetOf(2, 3, [0, 1, 2, 0, 1, 2]), COLOURED, null), 'zone.png: a side map is a picture of grey values; save numbers of colours as an array (.npy)'],
])('a side map in %s says what is wrong with it (%#)', async (name, bytes, line) => {
  await expect(opened(typeof bytes === 'function' ? await bytes() : bytes, name)).rejects.toThrow(line)
})

test.each<[string, Uint8Array | string | (() => Promise<Uint8Array>), string]>([
  ['a.jpg', 'x', 'a.jpg: a grid is a file that ends in .png, .npy, .npz or .txt'],
  ['a.png', 'no picture', 'a.png: this is not a PNG picture, whatever its suffix says'],
  ['a.png', () => pngOfCells(sheetOf(1, 1, [1]), COLOURED, null), 'a.png: row 0, column 0: colour #e69f00 is not in the palette of the model; it knows #000000, #ffffff, and grey #808080 is hidden'],
  ['a.png', async () => (await pngOfCells(sheetOf(1, 1, [1]), COLOURED, null)).slice(0, -20), 'a.png: this PNG is damaged or truncated'],
  ['a.png', async () => (await pngOfCells(sheetOf(1, 1, [1]), COLOURED, null)).map((byte, at) => (at === 17 ? 9 : byte)), 'a.png: this PNG is damaged or truncated'],
  ['a.txt', '.#\n.\n', 'a.txt: line 2 has 1 characters, line 1 has 2; all lines need the same length, at least 1'],
  ['a.txt', '.x', "a.txt: row 0, column 1: character 'x' is not in the palette of the model; it knows . # and ? for hidden"],
  ['a.txt', '', 'a.txt: shape (1, 0) has no cells'],
  ['a.npy', npy(Int16Array.of(0, 7), [1, 2]), 'a.npy: row 0, column 1: 7 is not a symbol 0 … 1 of the model'],
  ['a.npy', npy(Int16Array.of(0, 1), [2]), 'a.npy: shape (2) is neither a grid (height, width) nor a stack (n, height, width)'],
  ['a.npy', npy(Int16Array.of(0, 1), [2, 9]), 'a.npy: this npy file is damaged or truncated'],
  ['a.npz', 'PK', 'a.npz: this npz file is damaged or truncated'],
])('%s says what is wrong with it (%#)', async (name, bytes, line) => {
  const content = typeof bytes === 'function' ? await bytes() : bytes
  await expect(readGrid(file(content, name), size, WHITE_AND_BLACK)).rejects.toThrow(line)
})

test('a picture of too many pixels is refused by its header', async () => {
  const bytes = await png({ width: 1, height: 1, channels: 1, pixels: new Uint8Array(1) }, false, [])
  const view = new DataView(bytes.buffer)
  view.setUint32(16, 30_000)
  view.setUint32(20, 30_000)
  const { checksum } = await import('../src/bytes')
  view.setUint32(29, checksum(bytes.subarray(12, 29)))
  await expect(readGrid(file(bytes, 'a.png'), size, WHITE_AND_BLACK)).rejects.toThrow('30000 by 30000 pixels are more than 64000000; cut the picture into smaller ones')
})

test('zip files come back, and one that holds more than it says is refused', async () => {
  const bytes = await zip({ 'a.npy': Uint8Array.of(1, 2, 3), b: new Uint8Array(10_000) })
  expect([...(await unzip(bytes, 10_000)).get('a.npy')!]).toEqual([1, 2, 3])
  await expect(unzip(bytes, 9_999)).rejects.toThrow('more bytes')
})

test('a link holds the puzzle and not what lies beneath; a damaged one says so', async () => {
  const puzzle = presets()[3]!, link = await packed(puzzle)
  expect((await unpacked(link)).cells).toEqual(puzzle.cells)
  expect((await unpacked(link)).beneath).toEqual(puzzle.cells)
  expect((await unpacked(await packed(puzzle, true))).beneath).toEqual(puzzle.beneath)
  for (const damaged of [link.slice(0, -4), 'x', '', '%%'])
    await expect(unpacked(damaged)).rejects.toThrow('The puzzle in this link is damaged')
})

test('drawings have the sizes they say', async () => {
  const picture = { height: 2, width: 3, colours: Int32Array.of(0, 1, 1, 2, 2, 2) }
  expect(svg(picture, 'a < b')).toContain('a &#60; b')
  expect(svg(picture, '')).toContain('M0 1h3v1h-3z')
  expect([...gif([picture], 100).subarray(6, 10)]).toEqual([48, 0, 32, 0])
})
