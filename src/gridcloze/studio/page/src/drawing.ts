// Draws a picture on a canvas: cells in one stroke, then what helps to read them.
import { css, isDark, NOTHING, type Picture } from './colours'

export interface Camera { zoom: number; x: number; y: number } // x and y: the cell in the upper left corner
export interface Ink { ground: string; guide: string; text: string; mark: string }
export interface Frame { top: number; left: number; height: number; width: number }

/** Pixels to the side of a cell. */
export const cellSize = ({ height, width }: Picture, wide: number, tall: number, zoom: number): number =>
  Math.min(wide / width, tall / height) * zoom

export function draw(
  context: CanvasRenderingContext2D, picture: Picture, size: number, camera: Camera, ink: Ink,
  overlay: { cursor: number | null; frame: Frame | null; marked: ArrayLike<number>; dimmed: Frame | null },
): void {
  const { height, width, colours, hatched, tokens, characters } = picture, { canvas } = context
  const first = { row: Math.max(0, Math.floor(camera.y)), column: Math.max(0, Math.floor(camera.x)) }
  const last = { row: Math.min(height, Math.ceil(camera.y + canvas.height / size)), column: Math.min(width, Math.ceil(camera.x + canvas.width / size)) }
  const cells: number[] = []
  for (let row = first.row; row < last.row; row++) for (let column = first.column; column < last.column; column++) cells.push(row * width + column)
  const x = (column: number) => Math.round((column - camera.x) * size), y = (row: number) => Math.round((row - camera.y) * size)
  const left = (cell: number) => x(cell % width), top = (cell: number) => y(Math.floor(cell / width))
  context.clearRect(0, 0, canvas.width, canvas.height)
  context.fillStyle = ink.ground
  context.fillRect(x(0), y(0), x(width) - x(0), y(height) - y(0))
  context.imageSmoothingEnabled = false
  context.drawImage(raster(picture), -camera.x * size, -camera.y * size, width * size, height * size)
  if (hatched && size >= 5) {
    context.beginPath()
    for (const cell of cells) if (hatched[cell]) { // a short stroke in each: hidden is told without colour
      context.moveTo(left(cell) + 0.36 * size, top(cell) + 0.64 * size)
      context.lineTo(left(cell) + 0.64 * size, top(cell) + 0.36 * size)
    }
    context.strokeStyle = 'rgb(255 255 255 / 55%)'
    context.lineWidth = Math.max(1, size / 16)
    context.stroke()
  }
  if (tokens) for (const cell of cells) if (tokens[cell] !== NOTHING) {
    const side = Math.max(2, Math.round(size * 0.46)), edge = size < 10 ? 0 : Math.max(1, Math.round(size / 24)), inset = Math.floor((size - side) / 2)
    context.fillStyle = ink.guide
    context.fillRect(left(cell) + inset - edge, top(cell) + inset - edge, side + 2 * edge, side + 2 * edge)
    context.fillStyle = css(tokens[cell]!)
    context.fillRect(left(cell) + inset, top(cell) + inset, side, side)
  }
  if (size >= 7) {
    context.beginPath()
    for (let column = first.column + 1; column < last.column; column++) context.rect(x(column), y(first.row), 1, y(last.row) - y(first.row))
    for (let row = first.row + 1; row < last.row; row++) context.rect(x(first.column), y(row), x(last.column) - x(first.column), 1)
    context.fillStyle = 'rgb(128 128 128 / 40%)'
    context.fill()
  }
  if (characters && size >= 12) {
    const [large, small] = [0.52, 0.36].map((part) => `600 ${Math.round(size * part)}px ui-monospace, monospace`) as [string, string]
    context.textAlign = 'center'
    context.textBaseline = 'middle'
    for (const cell of cells) if (characters[cell]) {
      const token = tokens?.[cell] ?? NOTHING, ground = token === NOTHING ? colours[cell]! : token
      if (token !== NOTHING && size < 20) continue
      context.font = token === NOTHING ? large : small
      context.fillStyle = isDark(ground) ? 'rgb(255 255 255 / 85%)' : 'rgb(0 0 0 / 80%)'
      context.fillText(characters[cell]!, left(cell) + size / 2, top(cell) + size * 0.53)
    }
  }
  const { cursor, frame, marked, dimmed } = overlay
  if (dimmed) {
    context.fillStyle = ink.ground
    context.globalAlpha = 0.8
    context.beginPath()
    context.rect(0, 0, canvas.width, canvas.height)
    context.rect((dimmed.left - camera.x) * size, (dimmed.top - camera.y) * size, dimmed.width * size, dimmed.height * size)
    context.fill('evenodd')
    context.globalAlpha = 1
  }
  const outline = ({ top: row, left: column, height: tall, width: wide }: Frame, colour: string, thick: number) => {
    const place = [x(column), y(row), x(column + wide) - x(column), y(row + tall) - y(row)] as const
    context.lineWidth = thick + 2 * Math.max(1, thick / 2)
    context.strokeStyle = ink.ground
    context.strokeRect(...place)
    context.lineWidth = thick
    context.strokeStyle = colour
    context.strokeRect(...place)
  }
  const thick = Math.max(2, Math.round(size / 10)), single = (cell: number) => ({ top: Math.floor(cell / width), left: cell % width, height: 1, width: 1 })
  for (const cell of Array.from(marked)) outline(single(cell), ink.mark, thick)
  if (frame) outline(frame, ink.mark, thick)
  if (cursor !== null) outline(single(cursor), ink.mark, thick)
}

const rasters = new WeakMap<Int32Array, HTMLCanvasElement>()

/** The cells as pixels, which a canvas then enlarges at once. */
export function raster({ height, width, colours }: Picture): HTMLCanvasElement {
  const made = rasters.get(colours)
  if (made) return made
  const canvas = Object.assign(document.createElement('canvas'), { width, height })
  const image = new ImageData(width, height), pixels = new DataView(image.data.buffer)
  colours.forEach((colour, cell) => { if (colour !== NOTHING) pixels.setUint32(4 * cell, ((colour << 8) | 255) >>> 0) })
  canvas.getContext('2d')!.putImageData(image, 0, 0)
  rasters.set(colours, canvas)
  return canvas
}
