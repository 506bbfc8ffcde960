// A question to a back end: its answer, how far it is, what went wrong; a new question cancels the one before.
import { untrack } from 'svelte'
import type { Options } from './backend'

const MOST_SECONDS = 1.5 // that an answer may take for it to follow every stroke

export class Query<Answer> {
  answer = $state.raw<Answer | null>(null)
  share = $state(0)
  busy = $state(false)   // for longer than a moment, so that quick answers do not flicker
  working = $state(false)
  stale = $state(false)  // the answer is of an earlier puzzle, or was stopped
  error = $state('')
  seconds = 0
  #isLoaded = false      // the first answer waits for the model, which says nothing of the next ones
  #work: AbortController | null = null

  async ask(question: (options: Omit<Options, 'seed'>) => Promise<Answer>): Promise<Answer | null> {
    this.stop()
    const work = (this.#work = new AbortController()), started = performance.now()
    const isLatest = () => this.#work === work
    const patience = setTimeout(() => { if (isLatest()) this.busy = true }, 250)
    this.error = ''
    this.share = 0
    this.working = true
    this.stale = untrack(() => this.answer !== null) // asking depends on no answer
    try {
      const answer = await question({ signal: work.signal, onProgress: (share) => { if (isLatest()) this.share = share } })
      if (!isLatest()) return null
      this.answer = answer
      this.stale = false
      return answer
    } catch (error) {
      if (isLatest() && !work.signal.aborted) {
        this.error = (error as Error).message
        this.answer = null
      }
      return null
    } finally {
      clearTimeout(patience)
      if (isLatest()) {
        if (this.#isLoaded) this.seconds = (performance.now() - started) / 1000
        this.#isLoaded = true
        this.#work = null
        this.working = this.busy = false
      }
    }
  }

  /** Stop the work; what was answered before stays, but is of an earlier puzzle. */
  stop(): void {
    this.#work?.abort()
    this.#work = null
    this.working = this.busy = false
  }

  /** Stop for good: the next answer comes when it is asked for by hand. */
  halt(): void {
    this.stop()
    this.stale = true
    this.seconds = Infinity
  }

  clear(): void {
    this.stop()
    this.#isLoaded = false
    this.answer = null
    this.error = ''
    this.stale = false
  }

  get isQuick(): boolean { return this.seconds < MOST_SECONDS }
}
