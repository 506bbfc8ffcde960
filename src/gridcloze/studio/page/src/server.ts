// The back end that answers from Python: JSON over /api, with progress as lines while it works.
import type { Backend, Model, Options, Pass, Puzzle, Sample } from './backend'
import { isKnown, mapsOf } from './side'

type Json = Record<string, any> // eslint-disable-line

export class ServerBackend implements Backend {
  readonly kind = 'server'
  constructor(private token: string, private address = '') {}

  async models(): Promise<Model[]> {
    return (await this.ask('/models')).models
  }

  async open(file: File): Promise<Model> {
    throw new Error(`${file.name}: this server answers with the models it was started with; start it with this one too`)
  }

  async marginals(model: Model, puzzle: Puzzle, options: Options): Promise<Float32Array> {
    return flat((await this.ask('/marginals', model, puzzle, options)).marginals)
  }

  async sample(model: Model, puzzle: Puzzle, n: number, options: Options): Promise<Sample[]> {
    const answer = await this.ask('/sample', model, puzzle, options, { samples: n, refine: options.refine })
    return answer.samples.map((cells: number[][], one: number) => sampleOf(cells, answer.log2_probability[one], answer.passes?.[one]))
  }

  async mostLikely(model: Model, puzzle: Puzzle, options: Options): Promise<Sample> {
    const answer = await this.ask('/fill', model, puzzle, options)
    return sampleOf(answer.fill, answer.log2_probability, answer.passes)
  }

  async influence(model: Model, puzzle: Puzzle, cell: number, options: Options): Promise<Float32Array> {
    const place = `${Math.floor(cell / puzzle.width)},${cell % puzzle.width}`
    const { influence } = await this.ask('/explain', model, puzzle, options, { cell: place }, false)
    return flat(influence.hide) // null at hidden cells, which becomes 0
  }

  async attention(model: Model, puzzle: Puzzle, options: Options) {
    const { patches, patch, weights } = await this.ask('/attention', model, puzzle, options, {}, false)
    return { layers: weights.length, heads: weights[0].length, patches, patch, weights: flat(weights) }
  }

  async exact(model: Model, puzzle: Puzzle): Promise<Float32Array | null> {
    if (!model.prior) return null
    const { exact } = await this.ask('/marginals', model, puzzle, { seed: 0 })
    return exact ? flat(exact) : null
  }

  private async ask(what: string, model?: Model, puzzle?: Puzzle, options?: Options, more: Json = {}, seeded = true): Promise<Json> {
    const headers = { Authorization: `Bearer ${this.token}`, Accept: 'application/x-ndjson', 'Content-Type': 'application/json' }
    const question = puzzle && { method: 'POST', body: JSON.stringify({ cells: rows(puzzle), side: sideOf(puzzle, model!), ...(seeded && { seed: options?.seed }), ...more }) }
    let response: Response
    try {
      response = await fetch(`${this.address}/api${model ? `/models/${model.id}` : ''}${what}`, { headers, signal: options?.signal ?? null, ...question })
    } catch (error) {
      if (options?.signal?.aborted) throw error
      throw new Error('The server does not answer. Start it again with `gridcloze studio`, and open the address it prints.', { cause: error })
    }
    if (!response.ok) throw new Error(await complaintOf(response))
    if (!response.headers.get('content-type')?.includes('ndjson')) return response.json()
    let result: Json | undefined
    for await (const line of lines(response)) { // to its end: a response that is left unread stays open
      if (line.error) throw new Error(line.error)
      result ??= line.result
      if (line.progress !== undefined) options?.onProgress?.(line.progress)
    }
    if (result) return result
    throw new Error('The server stopped before it was done. Ask again; if that happens twice, look at its log.')
  }
}

async function complaintOf(response: Response): Promise<string> {
  const said = await response.json().catch(() => null)
  if (said?.error) return said.error
  return response.status === 401 ? 'This address has expired: open the one that `gridcloze studio` printed.' : `The server answered ${response.status}.`
}

async function* lines(response: Response): AsyncGenerator<Json> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let begun = ''
  for (;;) {
    const { done, value } = await reader.read()
    const parts = (begun + (value ?? '')).split('\n')
    begun = done ? '' : parts.pop()!
    for (const part of parts) if (part.trim()) yield JSON.parse(part)
    if (done) return
  }
}

const rows = ({ cells, height, width }: Puzzle): number[][] =>
  Array.from({ length: height }, (_, row) => Array.from(cells.subarray(row * width, (row + 1) * width)))

/** The number of each side map at each cell, which JSON writes as null where it is NaN; nothing for a model without any. */
function sideOf(puzzle: Puzzle, { side }: Model): 'none' | number[][][] | undefined {
  const maps = mapsOf(puzzle, side)
  const at = (cell: number) => maps.map((map) => Number(map[cell]!.toPrecision(9))) // as many digits as a 32-bit float has
  if (!maps.some(isKnown)) return maps.length ? 'none' : undefined
  return rows(puzzle).map((row, y) => row.map((_, x) => at(y * puzzle.width + x)))
}

const flat = (nested: any): Float32Array => Float32Array.from(nested.flat(Infinity)) // eslint-disable-line

function sampleOf(cells: number[][], bitsOrNull: number | null, passes: Json[] = []): Sample {
  const reveal = ({ revealed, symbols, bits }: Json): Pass =>
    ({ revealed: Int32Array.from(revealed.flat()), symbols: Int16Array.from(symbols), bits: bits ?? NaN })
  return { cells: Int16Array.from(cells.flat()), logProbBits: bitsOrNull ?? NaN, passes: passes.map(reveal) }
}
