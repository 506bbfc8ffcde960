/** Reads what an exported model says about itself, and refuses what is none: export.py and checkpoint.py. */

import type { Model } from '../backend'
import type { Channel } from '../side'
import { InputError, type Calibration, type Size } from './predictor'

const NO_MODEL = 'this is not an exported model, or it is truncated'
const FOREIGN = 'this is not an exported model of gridcloze, or it is truncated'
const MOST_BYTES = 2 ** 28 // of a file
const FORMAT_VERSION = 3
const METADATA_FIELD = 14 // of onnx.proto, as the numbers that follow
const LENGTHS: Record<number, number> = { 1: 8, 2: 0, 5: 4 } // of values by their wire type; 0 if it stands before them
const INSIDE: Record<string, string> = {
  'model 7': 'graph', 'graph 1': 'node', 'graph 5': 'tensor', 'graph 15': 'sparse', 'node 5': 'attribute',
  'attribute 5': 'tensor', 'attribute 10': 'tensor', 'attribute 22': 'sparse', 'attribute 23': 'sparse',
  'sparse 1': 'tensor', 'sparse 2': 'tensor',
}
const REFUSED: Record<string, string> = {
  'tensor 13': 'weights in other files', 'tensor 14': 'weights in other files', 'node 7': 'operators that are not of ONNX',
  'model 20': 'functions', 'model 25': 'functions', 'attribute 6': 'loops or branches', 'attribute 11': 'loops or branches',
}

const COLOUR_NAMES: Record<string, string> = { // with alpha
  '#ffffffff': 'white', '#000000ff': 'black', '#e69f00ff': 'orange', '#56b4e9ff': 'sky blue', '#009e73ff': 'bluish green',
  '#f0e442ff': 'yellow', '#0072b2ff': 'blue', '#d55e00ff': 'vermilion', '#cc79a7ff': 'reddish purple',
}

/** What the note says that answers depend on. */
export interface Note {
  config: { height: number; width: number; n_symbols: number; patch: number; heads: number; depth: number; side?: number }
  palette: { colours: number[][]; characters: string; names?: string[] }
  training: Record<string, unknown>
  calibration: Calibration
  windows?: boolean
  side?: Channel[]
  hash?: string
}

export interface Exported {
  model: Model
  note: Note
  graph: Uint8Array<ArrayBuffer> // what runs
}

/** Read a file that `gridcloze export` wrote; an error names it. */
export async function readExported(file: Blob, fileName: string, prior: string | null = null): Promise<Exported> {
  try {
    if (file.size > MOST_BYTES) {
      const most = `the page takes at most ${MOST_BYTES / 2 ** 20} MiB: use gridcloze studio`
      throw new InputError(`it has ${Math.ceil(file.size / 2 ** 20)} MiB, and ${most}`)
    }
    if (fileName.endsWith('.safetensors')) {
      throw new InputError('the page reads exported models: make one with gridcloze export MODEL -o MODEL.onnx')
    }
    return await parsed(new Uint8Array(await file.arrayBuffer()), fileName, prior)
  } catch (error) {
    if (error instanceof InputError) throw new InputError(`${fileName}: ${error.message}`)
    throw error
  }
}

async function parsed(bytes: Uint8Array<ArrayBuffer>, fileName: string, prior: string | null): Promise<Exported> {
  refuseMoreThanNumbers('model', bytes)
  const signed = metadata(bytes, 'gridcloze')
  if (signed === null) throw new InputError(FOREIGN)
  const [text, hash, length] = json(signed) as [unknown, unknown, unknown]
  if (typeof text !== 'string' || typeof hash !== 'string' || typeof length !== 'number') {
    throw new InputError('its note is not that of a model; use the original file')
  }
  const graph = bytes.slice(0, length)
  if (globalThis.crypto.subtle && (await hashOf(text, graph)) !== hash) {
    throw new InputError('the file was altered after it was written (its hash differs): use the original file')
  }
  const note = checked(json(text) as Note & { format_version: number })
  return { model: modelOf(note, note.hash ?? hash, fileName.replace(/\.onnx$/, ''), prior), note, graph }
}

function modelOf(note: Note, hash: string, name: string, prior: string | null): Model {
  const { height, width, n_symbols } = note.config
  const { colours, characters, names } = note.palette
  const symbols = [...characters].map((character, symbol) => {
    const colour = `#${colours[symbol]!.map((part) => part.toString(16).padStart(2, '0')).join('')}`
    const name = names?.[symbol] ?? COLOUR_NAMES[colour] ?? `symbol ${character}`
    return { name, character, colour: colour.slice(0, 7) }
  })
  if (symbols.length !== n_symbols) throw new InputError('the palette in its note does not fit its config; use the original file')
  const window: Model['window'] = note.windows ? [height, width] : null
  const side = (note.side ?? []).map((channel) => channel.name), side_classes = (note.side ?? []).map(({ classes }) => classes)
  return { id: hash, name, height, width, symbols, window, prior, side, side_classes, training: note.training }
}

function checked(note: Note & { format_version: number }): Note {
  if (note.format_version !== FORMAT_VERSION) {
    const versions = `the file has format version ${note.format_version}, this gridcloze reads ${FORMAT_VERSION}`
    throw new InputError(`${versions}: use the version that wrote it, or train again`)
  }
  const features = (note.side ?? []).reduce((n, { classes }) => n + Math.max(1, classes.length) + 1, 0)
  if (features !== (note.config.side ?? 0)) throw new InputError('the side maps in its note do not fit its config; use the original file')
  const { distances, hidden_fractions, temperatures } = note.calibration
  if (!temperatures.length || (distances ?? hidden_fractions)?.length !== temperatures.length) {
    throw new InputError('the calibration in its note does not fit; use the original file')
  }
  return note
}

function json(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new InputError('its note is no JSON')
  }
}

/** As checkpoint.py hashes a note and a graph; browsers can in pages from https, localhost or a file only. */
async function hashOf(text: string, graph: Uint8Array): Promise<string> {
  const parts = new Blob([text, ` (${graph.length},) uint8`, graph as Uint8Array<ArrayBuffer>])
  const digest = await crypto.subtle.digest('SHA-256', await parts.arrayBuffer())
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** The last entry of that name in the metadata of an ONNX model, which onnxruntime-web does not show. */
export function metadata(bytes: Uint8Array, key: string): string | null {
  let found: string | null = null
  for (const [number, value] of fields(bytes)) {
    if (number !== METADATA_FIELD || typeof value === 'number') continue
    const entry = new Map(fields(value))
    const [name, content] = [entry.get(1), entry.get(2)].map((part) => (part instanceof Uint8Array ? text(part) : ''))
    if (name === key) found = content!
  }
  return found
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

function refuseMoreThanNumbers(kind: string, message: Uint8Array): void {
  for (const [number, value] of fields(message)) {
    const name = `${kind} ${number}`
    const harmless = value === 0 || (value instanceof Uint8Array && ['', 'ai.onnx'].includes(text(value.subarray(0, 8))))
    if (REFUSED[name] && !harmless) {
      throw new InputError(`this model has ${REFUSED[name]}, which no exported model has; it is not run`)
    }
    if (INSIDE[name] && value instanceof Uint8Array) refuseMoreThanNumbers(INSIDE[name], value)
  }
}

/** The numbers and values of the fields of a protobuf message: numbers, or the bytes of texts and messages. */
function* fields(message: Uint8Array): Generator<[number, number | Uint8Array]> {
  let position = 0
  const take = (length: number) => {
    position += length
    if (position > message.length) throw new InputError(NO_MODEL)
    return message.subarray(position - length, position)
  }
  const takeNumber = () => {
    for (let place = 0, total = 0; place < 10; place++) {
      const byte = take(1)[0]!
      total += (byte & 127) * 2 ** (7 * place)
      if (byte < 128) return total
    }
    throw new InputError(NO_MODEL)
  }
  while (position < message.length) {
    const tag = takeNumber()
    const length = LENGTHS[tag % 8]
    if (tag % 8 === 0) yield [Math.floor(tag / 8), takeNumber()]
    else if (length !== undefined && tag < 2 ** 32) yield [Math.floor(tag / 8), take(length || takeNumber())]
    else throw new InputError(NO_MODEL)
  }
}

export const windowOf = (note: Note): Size | null => (note.windows ? [note.config.height, note.config.width] : null)
