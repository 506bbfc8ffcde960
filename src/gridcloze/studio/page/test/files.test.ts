import { expect, test } from 'vitest'
import { chunksOf, unzip, zip } from '../src/bytes'
import { WHITE_AND_BLACK } from '../src/colours'
import { readGrid, readMask } from '../src/files'
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
  const { png } = await import('../src/bytes')
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
  const puzzle = presets()[3]!, text = await packed(puzzle)
  expect((await unpacked(text)).cells).toEqual(puzzle.cells)
  expect((await unpacked(text)).beneath).toEqual(puzzle.cells)
  expect((await unpacked(await packed(puzzle, true))).beneath).toEqual(puzzle.beneath)
  for (const damaged of [text.slice(0, -4), 'x', '', '%%'])
    await expect(unpacked(damaged)).rejects.toThrow('The puzzle in this link is damaged')
})

test('drawings have the sizes they say', async () => {
  const picture = { height: 2, width: 3, colours: Int32Array.of(0, 1, 1, 2, 2, 2) }
  expect(svg(picture, 'a < b')).toContain('a &#60; b')
  expect(svg(picture, '')).toContain('M0 1h3v1h-3z')
  expect([...gif([picture], 100).subarray(6, 10)]).toEqual([48, 0, 32, 0])
})
