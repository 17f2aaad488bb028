import { formatName } from '../api/metadata.ts'
import { isDenied, judgeService, judgeVirtualService, type Verdict } from '../rules/judge.ts'
import type { Policy } from '../rules/policy.ts'
import type { Cluster, ClusterView } from '../view/view.ts'
import type { AdmissionRequest } from './review.ts'
import type { Subject } from './subject.ts'

/** What an admission needs beside its request. */
export type Circumstances = { cluster: Cluster; policy: Policy; signal: AbortSignal }

/**
 * Asks the rules about the subject of a request. `claimed`: whether its addresses must have their claims by now. Nothing is denied
 * on hearsay: what a denial rests on is read afresh, and the rules are asked again.
 */
export const judge = async (
  subject: Subject,
  request: AdmissionRequest,
  claimed: boolean,
  { cluster, policy, signal }: Circumstances,
): Promise<Verdict> => {
  const dryRun = request.dryRun ?? false
  const batch = policy.dryRun.batchFieldManagers.has(request.options?.fieldManager ?? '')
  const question = (view: ClusterView): Verdict => {
    const circumstances = { view, policy, dryRun, batch, claimed, now: new Date() }
    return subject.kind === 'Service'
      ? judgeService(subject.object, subject.before, circumstances)
      : judgeVirtualService(subject.object, subject.before, circumstances)
  }
  const verdict = await cluster.ask(question, signal)
  return isDenied(verdict) ? cluster.confirm(question, signal) : verdict
}

/** `Service shop/orders`: a subject in a sentence. */
export const describe = ({ kind, object }: Subject): string => `${kind} ${formatName(object)}`
