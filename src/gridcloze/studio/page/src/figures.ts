// The live figures of the article, by the name in `data-gridcloze`.
import type { Component } from 'svelte'
import type { Backend } from './backend'
import HeadsFigure from './HeadsFigure.svelte'
import Try from './Try.svelte'
import WindowFigure from './WindowFigure.svelte'

export interface FigureProps { start: () => Promise<Backend>; name: string }

export function figure(kind: string, name: string, start: () => Promise<Backend>): { component: Component<FigureProps>; props: FigureProps } {
  const component = { try: Try, window: WindowFigure, heads: HeadsFigure }[kind]
  if (!component) throw new Error(`data-gridcloze="${kind}" is no figure; use try, window or heads`)
  return { component, props: { start, name } }
}
