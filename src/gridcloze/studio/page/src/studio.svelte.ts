// What the page knows: the puzzle and how it is painted, the models, and what they answer.
import { windowMarginals } from './engine/windows'
import type { Backend, Model, Options, Puzzle, Sample, Symbol } from './backend'
import { distributionAt, entropyOf, type Picture, pictureOfCells, pictureOfValues, probabilityOf, WHITE_AND_BLACK } from './colours'
import { type Drawing, readGrid, readMask, readSide } from './files'
import { HIDDEN, History, type Ink, painted, presets, type Shape, type Sheet, sheetOf, withHoles } from './grid'
import { Query } from './query.svelte'
import { keep, kept, packed, unpacked } from './share'

export interface Choice { backend: Backend; model: Model }
export type View = 'probability' | 'entropy' | 'fill' | 'samples' | 'attention'
export type Attention = Awaited<ReturnType<Backend['attention']>>
export const LIKELIEST = -1 // in place of one symbol
const MOST_INFLUENCES = 600 // visible cells, each of which costs a forward pass, that follow the pointer

export class Studio {
  sheet = $state.raw<Sheet>(presets()[0]!)
  drawing: Drawing | null = null
  history = new History<Sheet>()
  steps = $state({ back: 0, forth: 0 })
  ink = $state<Ink>('hide')
  shape = $state<Shape>('pen')
  complaint = $state('')   // what is wrong with what was opened
  note = $state('')

  choices = $state.raw<Choice[]>([])
  choice = $state.raw<Choice | null>(null)
  cursor = $state(139)
  hover = $state<number | null>(null)
  camera = $state({ zoom: 1, x: 0, y: 0 })

  view = $state<View>('probability')
  symbol = $state(1)
  wanted = $state(16)      // samples
  refine = $state(0)       // rounds in which samples are drawn again
  seed = $state(0)
  enlarged = $state(0)     // which sample
  pass = $state<number | null>(null) // up to which a fill is shown; null for all
  head = $state<[number, number]>([0, 0])
  against = $state('exact')
  layer = $state('')       // the side map that lies over the puzzle

  marginals = new Query<Float32Array>()
  reference = new Query<Float32Array | null>()
  exact = new Query<Float32Array | null>()
  fill = new Query<Sample>()
  samples = new Query<Sample[]>()
  attention = new Query<Attention>()
  influence = new Query<Float32Array>()

  model = $derived(this.choice?.model ?? null)
  symbols: Symbol[] = $derived(this.model?.symbols ?? WHITE_AND_BLACK)
  place = $derived(this.hover ?? this.cursor)
  hiddenCells = $derived(this.sheet.cells.reduce((n, symbol) => n + Number(symbol === HIDDEN), 0))
  quantity = $derived(this.view === 'entropy' ? 'entropy of a hidden cell, in bits'
    : `probability of ${this.symbol === LIKELIEST ? 'the likeliest symbol' : this.symbols[this.symbol]?.name}`)
  largest = $derived(this.view === 'entropy' ? Math.log2(this.symbols.length) : 1)
  shown: Sample | null = $derived(this.view === 'samples' ? (this.samples.answer?.[this.enlarged] ?? null) : this.fill.answer)
  hasArticle = $derived(this.model ? (this.model.prior ?? '').startsWith('squares 16x16') : true)

  // Models

  async add(backend: Backend): Promise<void> {
    this.choices = [...this.choices, ...(await backend.models()).map((model) => ({ backend, model }))]
    if (!this.choice && this.choices[0]) this.choose(this.choices[0])
  }

  async openModel(file: File, backend: Backend): Promise<void> {
    const model = await backend.open(file)
    const choice = { backend, model }
    this.choices = [...this.choices.filter((one) => one.model.id !== model.id), choice]
    this.choose(choice)
  }

  /** A puzzle that the model cannot read makes room for an empty one, and can be had back by undo. */
  choose(choice: Choice): void {
    this.choice = choice
    this.symbol = choice.model.symbols.length > 2 ? LIKELIEST : 1
    this.against = 'exact'
    if (typeof this.ink === 'number' && this.ink >= choice.model.symbols.length) this.ink = 'hide'
    const isReadable = this.sheet.beneath.every((symbol) => symbol < choice.model.symbols.length)
    const isSize = this.sheet.height === choice.model.height && this.sheet.width === choice.model.width
    for (const query of [this.marginals, this.reference, this.exact, this.fill, this.samples, this.attention, this.influence]) query.clear()
    if (!isReadable || (!isSize && !choice.model.window)) this.replace(sheetOf(choice.model.height, choice.model.width))
  }

  // Painting

  begin(): void {
    this.history.record(this.sheet)
    this.#count()
  }

  paint(where: Iterable<number>, ink: Ink = this.ink): void {
    const before = this.sheet
    this.sheet = painted(before, where, ink)
    this.complaint = ink === 'show' && before === this.sheet && this.hiddenCells
      ? 'Nothing is known beneath these cells. Paint them with a symbol instead.' : ''
    this.note = ''
  }

  /** Take back a stroke that has begun, as when a second finger lands. */
  cancel(): void {
    this.sheet = this.history.past.pop() ?? this.sheet
    this.#count()
  }

  /** Forget a stroke that changed nothing, and keep what changed for a reload. */
  end(): void {
    this.history.settle(this.sheet)
    this.#count()
    this.#keep()
  }

  /** A grid with the side maps of the one that is there, if it has its size and none of its own. */
  withMaps(sheet: Sheet): Sheet {
    const { height, width, side } = this.sheet
    return side && !sheet.side && sheet.height === height && sheet.width === width ? { ...sheet, side } : sheet
  }

  replace(sheet: Sheet, drawing: Drawing | null = null): void {
    this.begin()
    sheet = this.withMaps(sheet)
    if (sheet.height !== this.sheet.height || sheet.width !== this.sheet.width) this.camera = { zoom: 1, x: 0, y: 0 }
    this.sheet = sheet
    this.drawing = drawing
    if (sheet.cells[this.cursor] !== HIDDEN) this.cursor = hiddenNearMiddle(sheet)
    this.hover = null
    this.complaint = this.note = ''
    this.end()
  }

  once(where: Iterable<number>, ink: Ink = this.ink): void {
    this.begin()
    this.paint(where, ink)
    this.end()
  }

  holes(share: number): void {
    this.sheet = withHoles(this.sheet, share, this.seed)
  }

  undo(): void { this.#go(this.history.undo(this.sheet)) }
  redo(): void { this.#go(this.history.redo(this.sheet)) }

  #go(sheet: Sheet): void {
    this.sheet = sheet
    this.cursor = Math.min(this.cursor, sheet.cells.length - 1)
    this.complaint = this.note = ''
    this.#count()
    this.#keep()
  }

  #keep(): void { void packed(this.sheet, true).then((text) => keep('gridcloze-puzzle', text)) }
  #count(): void { this.steps = { back: this.history.past.length, forth: this.history.future.length } }

  // Files and links: what was painted stays if something is wrong with them

  async open(files: File[], asMask = false): Promise<void> {
    try {
      const [first, second] = files
      if (!first) return
      const opened = asMask ? null : await readGrid(first, this.model ?? { ...this.sheet, side: [] }, this.symbols), mask = asMask ? first : second
      let sheet = opened ? { ...sheetOf(opened.height, opened.width, opened.cells), side: opened.side } : this.sheet
      if (mask) {
        const hidden = await readMask(mask, sheet)
        sheet = painted(sheet, [...sheet.cells.keys()].filter((cell) => hidden[cell]), 'hide')
      }
      this.replace(sheet, opened ? opened.drawing : this.drawing)
      this.note = opened?.note ?? ''
    } catch (error) { this.complaint = (error as Error).message }
  }

  /** Side maps from files, each of which may have one or all of them. */
  async openSide(files: File[], name?: string): Promise<void> {
    try {
      const maps = await Promise.all(files.map((file) => readSide(file, this.sheet, this.model!, name)))
      this.know([this.sheet.side ?? [], ...maps].flatMap((side) => [...side]))
    } catch (error) { this.complaint = (error as Error).message }
  }

  /** Have these side maps and no others. */
  know(side: [string, Float32Array][]): void {
    this.begin()
    this.sheet = { ...this.sheet, side: new Map(side) }
    this.complaint = this.note = ''
    this.end()
  }

  async openLink(text: string): Promise<void> {
    try {
      const sheet = await unpacked(text)
      if (sheet.cells.some((symbol) => symbol >= this.symbols.length)) throw new Error('The puzzle in this link has symbols that the model lacks. Choose its model first, and open the link again.')
      this.replace(sheet)
    } catch (error) { this.complaint = (error as Error).message }
  }

  async restore(): Promise<void> {
    const text = kept('gridcloze-puzzle')
    if (!text) return
    try {
      const sheet = await unpacked(text)
      if (sheet.beneath.every((symbol) => symbol < this.symbols.length)) this.sheet = sheet
    } catch { /* what an older page kept */ }
  }

  // Questions

  options(rest: Omit<Options, 'seed'>): Options { return { seed: this.seed, refine: this.refine, ...rest } }

  /** Ask for all that the page shows now; what takes long waits until it is asked for by hand (`force`). */
  refresh(force = false): void {
    if (!this.choice) return
    const { backend, model } = this.choice, puzzle = this.sheet
    const asks = <Answer>(query: Query<Answer>, question: (options: Options) => Promise<Answer>, wanted = true) => {
      if (wanted && (force || query.isQuick)) return void query.ask((rest) => question(this.options(rest)))
      query.stop()
      query.stale = query.answer !== null
    }
    this.pass = null
    if (model.prior) asks(this.exact, () => backend.exact(model, puzzle))
    asks(this.marginals, (options) => backend.marginals(model, puzzle, options))
    asks(this.fill, (options) => backend.mostLikely(model, puzzle, options), this.view === 'fill')
    asks(this.samples, (options) => backend.sample(model, puzzle, this.wanted, options), this.view === 'samples')
    asks(this.attention, (options) => backend.attention(model, puzzle, options), this.view === 'attention')
  }

  /** The answer next to which the model's is shown: the exact one, what a window could know, or another model's. */
  compare(): void {
    const { model } = this, puzzle = this.sheet, which = this.against.slice(this.against.indexOf(':') + 1)
    if (!model || this.against === 'exact') return this.reference.clear()
    void this.reference.ask(async (rest) => {
      if (this.against.startsWith('window')) return windowMarginals(model.prior!, puzzle, Number(which))
      const other = this.choices.find((one) => one.model.id === which)!
      return other.backend.marginals(other.model, puzzle, this.options(rest))
    })
  }

  /** How far each visible cell decides the cell at hand. */
  explain(force = false): void {
    const cell = this.place
    if (!this.choice || this.sheet.cells[cell] !== HIDDEN) return this.influence.clear()
    if (!force && !this.canFollow) return this.influence.clear()
    const { backend, model } = this.choice, puzzle = this.sheet
    void this.influence.ask((rest) => backend.influence(model, puzzle, cell, this.options(rest)))
  }

  /** Marginals as the page shows them now: entropy, the probability of one symbol, or of the likeliest with its name. */
  pictureOf(marginals: Float32Array | null): Picture {
    const { sheet, symbols, symbol, view } = this
    if (marginals?.length !== sheet.cells.length * symbols.length) return pictureOfCells(sheet, symbols)
    if (view === 'entropy') return pictureOfValues(sheet, symbols, entropyOf(marginals, sheet), this.largest)
    if (symbol !== LIKELIEST) return pictureOfValues(sheet, symbols, probabilityOf(symbol, marginals, sheet))
    const best = Array.from(sheet.cells, (shown, cell) => (shown === HIDDEN ? likeliest(distributionAt(marginals, cell, sheet.cells.length)) : null))
    const values = Float32Array.from(best, (one, cell) => (one === null ? NaN : marginals[cell * symbols.length + one]!))
    return { ...pictureOfValues(sheet, symbols, values), characters: best.map((one, cell) => symbols[one ?? sheet.cells[cell]!]?.character ?? '') }
  }

  get canFollow(): boolean { return this.sheet.cells.length - this.hiddenCells <= MOST_INFLUENCES }

  get others(): Choice[] {
    const { model } = this
    const looks = (one: Model | null) => JSON.stringify([one?.height, one?.width, one?.symbols.map(({ name, colour }) => [name, colour])])
    return this.choices.filter((one) => one.model !== model && looks(one.model) === looks(model))
  }
}

const likeliest = (distribution: Float32Array): number => distribution.indexOf(Math.max(...distribution))

function hiddenNearMiddle({ cells, height, width }: Sheet): number {
  const distance = (cell: number) => Math.abs(Math.floor(cell / width) - height / 2) + Math.abs((cell % width) - width / 2)
  const middle = Math.floor(height / 2) * width + Math.floor(width / 2)
  return cells.reduce((best, symbol, cell) => (symbol === HIDDEN && (cells[best] !== HIDDEN || distance(cell) < distance(best)) ? cell : best), middle)
}

/** The cells of a fill after some passes; null for all. */
export function cellsAt(sample: Sample, { cells }: Sheet, pass: number | null): Int16Array {
  if (pass === null || pass >= sample.passes.length) return sample.cells
  const shown = cells.slice()
  for (const { revealed, symbols } of sample.passes.slice(0, pass)) revealed.forEach((cell, at) => { shown[cell] = symbols[at]! })
  return shown
}

/** The weights of one head from the patch of a cell: by cell, or by patch. Weights are by layer, head, query and key. */
export function headAt({ heads, patches: [tall, wide], patch, weights }: Attention, [layer, head]: [number, number], cell: number, { cells, width }: Puzzle, byPatch = false): Float32Array {
  const patchOf = (one: number) => Math.min(tall - 1, Math.floor(one / width / patch)) * wide + Math.min(wide - 1, Math.floor((one % width) / patch))
  const start = ((layer * heads + head) * tall * wide + patchOf(cell)) * tall * wide
  const seen = weights.subarray(start, start + tall * wide)
  return byPatch ? seen : Float32Array.from(cells, (_, one) => seen[patchOf(one)]!)
}
