import { serviceRules } from '../rules/index.ts'
import type { Policy } from '../rules/policy.ts'
import { isLabelled, mayBeVirtualHost, namespaces, neverAsked, notBeingDeleted } from './webhook-configurations.ts'

/** What a ValidatingAdmissionPolicy of the chart is made of. */
export type StaticPolicy = {
  /** By the setting `virtualHosts`. */
  matchConditions: Record<Policy['virtualHosts'], { name: string; expression: string }[]>
  /** Of the namespaces of the mesh, each of which one of them matches; by a name for it. */
  namespaceSelectors: Record<string, object>
  rules: { rule: string; expression: string; message: string }[]
}

const selector = (expressions: readonly object[]): object => ({
  matchExpressions: [neverAsked(undefined), ...expressions],
})

/**
 * The rules that the ports of a Service tell by themselves, in CEL: by them the API server refuses what they deny for virtual hosts also
 * where no pod of ours runs. A port that was so before the change is let pass, as everywhere. It looks into namespaces of the mesh alone.
 *
 * No endpoints are seen: a Service with some made by hand looks like a virtual host here, unless its label says that it is none.
 */
export const staticPolicy = (): StaticPolicy => ({
  matchConditions: {
    inferred: [
      notBeingDeleted('object'),
      { name: 'virtual-host', expression: `${mayBeVirtualHost} || ${isLabelled('true')}` },
    ],
    labelled: [notBeingDeleted('object'), { name: 'virtual-host', expression: isLabelled('true') }],
  },
  namespaceSelectors: { injected: selector(namespaces.injected), 'by-revision': selector(namespaces.revision) },
  rules: serviceRules.flatMap(({ id, finds, portInCEL }) => {
    if (portInCEL === undefined) return []
    const wasSo = `oldObject != null && oldObject.spec.?ports.orValue([]).exists(o, o.port == p.port && ${portInCEL('o')})`
    const expression = `object.spec.?ports.orValue([]).all(p, !(${portInCEL('p')}) || (${wasSo}))`
    return [{ rule: id, expression, message: `${finds} [${id}]` }]
  }),
})
