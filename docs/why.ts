/** The page of what is said of mistakes without us, and what comes of them. A test fails where it is not as this makes it. */

import { cell } from '../src/rules/describe.ts'
import { causeText } from '../src/rules/message.ts'
import type { Met, Mistake } from '../test/istio/mistakes.ts'
import { madeBy } from './pages.ts'

const code = (text: string): string => `\`${text}\``

const list = (texts: readonly string[]): string => [...new Set(texts)].join('<br>') || 'nothing'

const outcome = (met: Met): string => {
  switch (met.kind) {
    case 'no address':
      return '**no connection**: a headless Service without Pods has no address'
    case 'no listener':
      return '**no connection**: the sidecar has no listener for the port, and behind the address itself there is nothing'
    case 'no cluster':
      return `**503**: there is no cluster ${code(met.cluster)}`
    case 'no endpoints':
      return `**503**: ${met.routesOf.length === 0 ? 'none of the routes is emitted, and ' : ''}the cluster ${code(met.cluster)} has no endpoints`
    case 'answered':
      return `answered by ${code(met.cluster)}${met.routed ? '' : `, by the routes of ${met.routesOf.map(code).join(', ')} alone`}`
  }
}

const row = ({ rule, finding, action, applied, analysis, request, met }: Mistake): string => {
  const said = analysis.map(({ code, level, message }) => `${code} (${level}): ${message}`)
  const columns = [
    `[${rule.id}](rules/${rule.id}.md)<br>${rule.finds}`,
    list(applied),
    list(said),
    `${code(request)}: ${outcome(met)}`,
    `${action === 'deny' ? 'refuses' : 'warns'}: ${causeText(finding)}`,
  ]
  return `| ${columns.map((column) => cell(column.replaceAll('\n', ' '))).join(' | ')} |`
}

const table = (mistakes: readonly Mistake[]): string =>
  [
    '| mistake | when it is applied | `istioctl analyze` | a caller of | meshvip |',
    '| --- | --- | --- | --- | --- |',
    ...mistakes.map(row),
  ].join('\n')

const count = (mistakes: readonly Mistake[], holds: (mistake: Mistake) => boolean): string =>
  `${mistakes.filter(holds).length} of ${mistakes.length}`

/** `istio` is the version of Istio. */
export const whyPage = (mistakes: readonly Mistake[], istio: string): string => {
  const broken = mistakes.filter(({ rule }) => rule.kinds.includes('broken'))
  const conventions = mistakes.filter(({ rule }) => !rule.kinds.includes('broken'))
  return `${madeBy('docs:why')}
# What is said of mistakes without meshvip

Nobody wrote the answers below: each rule's bad manifest was applied to [this cluster](../test/fixtures/rules/cluster.yaml) without
meshvip, and this is what came of it.

- *When it is applied*: what a real API server with all of Istio's CRDs says, but for what it says of the rule's good manifest as well;
  and what istiod's validating webhook refuses or warns of, by that webhook's own code.
- *\`istioctl analyze\`*: what it says of the whole cluster, but for what it says without the manifest as well.
- *A caller of*: where Istio's own configuration generator sends the HTTP request of a sidecar in the namespace \`shop\`. A Service with a
  selector counts as having Pods. A bad Service is given a VirtualService that routes to \`orders-read\`; it is that Service which is
  called.
- *meshvip*: the rule's finding, with the default configuration.

Istio is \`${istio}\`.

## What Istio cannot deliver

Created without a word: ${count(broken, ({ applied }) => applied.join() === 'created')}. Spoken of by \`istioctl analyze\`, once somebody runs it: ${count(broken, ({ analysis }) => analysis.length > 0)}.

${table(broken)}

## What is not the convention

Answered as things stand: ${count(conventions, ({ met }) => met.kind === 'answered')}. What is wrong with it all the same is on the page of each rule.

${table(conventions)}
`
}
