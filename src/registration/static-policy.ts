import { serviceRules } from '../rules/index.ts'
import { isLabelled, mayBeVirtualHost, namespaces, neverAsked } from './webhook-configurations.ts'

/** What a ValidatingAdmissionPolicy of the chart is made of. */
export type StaticPolicy = {
  matchConditions: { name: string; expression: string }[]
  /** Of the namespaces of the mesh: one or the other matches. */
  namespaceSelectors: object[]
  rules: { rule: string; expression: string; message: string }[]
}

/**
 * The rules that the ports of a Service tell by themselves, in CEL: by them the API server refuses what they deny for virtual hosts also
 * where no pod of ours runs. A port that was so before the change is let pass, as everywhere.
 *
 * No endpoints are seen: a Service with some made by hand looks like a virtual host here, unless its label says that it is none.
 */
export const staticPolicy = (): StaticPolicy => ({
  matchConditions: [
    { name: 'not-being-deleted', expression: '!has(object.metadata.deletionTimestamp)' },
    { name: 'virtual-host', expression: `${mayBeVirtualHost} || ${isLabelled('true')}` },
  ],
  namespaceSelectors: [namespaces.injected, namespaces.revision].map((expressions) => ({
    matchExpressions: [neverAsked(undefined), ...expressions],
  })),
  rules: serviceRules.flatMap(({ id, finds, portInCEL }) => {
    if (portInCEL === undefined) return []
    const wasSo = `oldObject != null && oldObject.spec.?ports.orValue([]).exists(o, o.port == p.port && ${portInCEL('o')})`
    const expression = `object.spec.?ports.orValue([]).all(p, !(${portInCEL('p')}) || (${wasSo}))`
    return [{ rule: id, expression, message: `${finds} [${id}]` }]
  }),
})
