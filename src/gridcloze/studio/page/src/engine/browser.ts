// Stands here until the engine does.
import type { Backend, Model } from '../backend'

const notYet = () => Promise.reject(new Error('this build has no engine'))

export class BrowserBackend implements Backend {
  readonly kind = 'browser'
  models = async (): Promise<Model[]> => []
  open = notYet; marginals = notYet; sample = notYet; mostLikely = notYet; influence = notYet; attention = notYet
  exact = async () => null
}
