/** The back end in the browser alone: models from the page or a file, answered by a worker. */

import workerScript from 'virtual:worker'
import type { Backend, Model, Options, Puzzle } from '../backend'
import { checkSide, mapsOf } from '../side'
import { readExported, type Exported } from './note'
import { InputError } from './predictor'
import { exactMarginals, windowMarginals } from './windows'
import type { FromWorker, Request, ToWorker } from './worker'

const MOST_CELLS = 2 ** 16

/** What the files beside the page's script hold: onnxruntime-web, with its wasm as base64 of gzip; and models. */
declare global {
  var gridclozeRuntime: { script: string; wasm: string } | undefined
  var gridclozeModels: Embedded[] | undefined
}
interface Embedded { name: string; onnx: string; prior?: string | null } // base64 of gzip

const HERE = (document.currentScript as HTMLScriptElement | null)?.src || document.baseURI

interface Waiting {
  resolve: (result: never) => void
  reject: (error: unknown) => void
  onProgress?: ((share: number) => void) | undefined
}

export class BrowserBackend implements Backend {
  readonly kind = 'browser'
  private readonly opened = new Map<string, Promise<unknown>>() // by the model's id: when it is loaded
  private readonly waiting = new Map<number, Waiting>()
  private embedded: Promise<Model[]> | null = null
  private worker: Promise<Worker> | null = null
  private nextId = 0

  /** The models that the page carries in `#gridcloze-models`, or that lie beside its script. */
  models(): Promise<Model[]> {
    return (this.embedded ??= this.readEmbedded())
  }

  async open(file: File): Promise<Model> {
    const exported = await readExported(file, file.name)
    await this.load(exported, file.name)
    return exported.model
  }

  marginals: Backend['marginals'] = (model, puzzle, options) => this.ask(model, puzzle, options, { call: 'marginals' })
  sample: Backend['sample'] = (model, puzzle, n, options) => this.ask(model, puzzle, options, { call: 'sample', n, refine: options.refine })
  mostLikely: Backend['mostLikely'] = (model, puzzle, options) => this.ask(model, puzzle, options, { call: 'mostLikely' })
  influence: Backend['influence'] = (model, puzzle, cell, options) =>
    this.ask(model, puzzle, options, { call: 'influence', cell })
  attention: Backend['attention'] = (model, puzzle, options) => this.ask(model, puzzle, options, { call: 'attention' })
  exact: Backend['exact'] = async (model, puzzle) => exactMarginals(model.prior, puzzle)

  private async readEmbedded(): Promise<Model[]> {
    const element = document.getElementById('gridcloze-models')
    if (!element) await loadBeside('models.js')
    const entries = element ? (JSON.parse(element.textContent) as Embedded[]) : globalThis.gridclozeModels!
    const exported = await Promise.all(entries.map(async ({ name, onnx, prior }) => {
      const unzipped = new Blob([fromBase64(onnx)]).stream().pipeThrough(new DecompressionStream('gzip'))
      return readExported(await new Response(unzipped).blob(), `${name}.onnx`, prior ?? null)
    }))
    exported.forEach((each) => this.load(each, each.model.name).catch(() => {})) // who asks is told
    return exported.map(({ model }) => model)
  }

  private load({ model, note, graph }: Exported, name: string): Promise<unknown> {
    const loaded = this.send({ call: 'load', model: model.id, graph, note }, { seed: 0 })
    this.opened.set(model.id, loaded)
    return loaded.catch((error: Error) => Promise.reject(new InputError(`${name}: ${error.message}`)))
  }

  private async ask<Result>(model: Model, puzzle: Puzzle, options: Options, what: object): Promise<Result> {
    checkPuzzle(puzzle)
    checkSide(mapsOf(puzzle, model.side), model, puzzle.width)
    const opened = this.opened.get(model.id)
    if (!opened) throw new InputError(`the page has no model ${model.name}: drop its .onnx file on it`)
    await opened
    const { cells, height, width, side } = puzzle
    const copy = { height, width, cells: Int16Array.from(cells), side }
    return this.send({ ...what, model: model.id, puzzle: copy, seed: options.seed } as Request, options)
  }

  private async send<Result>(request: Request, { onProgress, signal }: Options): Promise<Result> {
    const worker = await (this.worker ??= this.startWorker().catch((error: unknown) => {
      this.worker = null // who asks again tries again
      throw error
    }))
    signal?.throwIfAborted()
    const id = this.nextId++
    return new Promise<Result>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, onProgress })
      signal?.addEventListener('abort', () => {
        if (!this.waiting.delete(id)) return
        worker.postMessage({ id, cancel: true } satisfies ToWorker)
        reject(signal.reason)
      }, { once: true })
      worker.postMessage({ id, request } satisfies ToWorker)
    })
  }

  /** A classic worker from a Blob: what also a page from a file may start. */
  private async startWorker(): Promise<Worker> {
    if (!globalThis.gridclozeRuntime) await loadBeside('runtime.js')
    const { script, wasm } = globalThis.gridclozeRuntime!
    const worker = new Worker(URL.createObjectURL(new Blob([script, '\n', workerScript], { type: 'text/javascript' })))
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.receive(data)
    worker.onerror = ({ message }) => {
      this.waiting.forEach(({ reject }) => reject(new InputError(`the page fails (${message})`)))
      this.waiting.clear()
    }
    const buffer = fromBase64(wasm).buffer
    worker.postMessage({ id: this.nextId++, request: { call: 'start', wasm: buffer } } satisfies ToWorker, [buffer])
    return worker
  }

  private receive(message: FromWorker): void {
    const waiting = this.waiting.get(message.id)
    if (!waiting) return // cancelled
    if ('progress' in message) return waiting.onProgress?.(message.progress)
    this.waiting.delete(message.id)
    if ('error' in message) waiting.reject(new InputError(message.error))
    else waiting.resolve(message.result as never)
  }
}

function checkPuzzle({ height, width, cells }: Puzzle): void {
  if (!cells.length || cells.length !== height * width) throw new InputError('a grid has one cell or more')
  if (cells.length > MOST_CELLS) {
    const most = `the page alone fills at most ${MOST_CELLS.toLocaleString('en')}`
    throw new InputError(`the grid has ${cells.length.toLocaleString('en')} cells, and ${most}: use gridcloze studio`)
  }
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const characters = atob(text.trim())
  const bytes = new Uint8Array(characters.length)
  for (let place = 0; place < bytes.length; place++) bytes[place] = characters.charCodeAt(place)
  return bytes
}

async function loadBeside(name: string): Promise<void> {
  const element = document.createElement('script')
  element.src = new URL(name, HERE).href
  await new Promise((resolve, reject) => {
    element.onload = resolve
    element.onerror = () => reject(new InputError(`${element.src} is missing: it belongs beside the script of this page`))
    document.head.append(element)
  })
}

Object.assign(globalThis, { gridclozeEngine: { BrowserBackend, windowMarginals } }) // for scripts on the page, and tests
