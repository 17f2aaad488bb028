import { formatName } from '../api/metadata.ts'
import type { Service } from '../api/service.ts'
import {
  isDenied,
  judgeService,
  judgeServiceDeletion,
  judgeVirtualService,
  type Outcome,
  type Circumstances as RuleCircumstances,
  type Verdict,
} from '../rules/judge.ts'
import type { Policy } from '../rules/policy.ts'
import type { Cluster, ClusterView } from '../view/view.ts'
import type { AdmissionRequest } from './review.ts'
import type { Subject } from './subject.ts'

/** What an admission needs beside its request. */
export type Circumstances = { cluster: Cluster; policy: Policy; signal: AbortSignal }

/** Where in an admission the rules are asked: before mutation writes an address, or after. */
export type Phase = 'mutation' | 'validation'

/** In mutation it is no finding what is so because it has not done its part yet. */
const withoutItsOwn = (verdict: Verdict): Verdict => ({
  ...verdict,
  outcomes: verdict.outcomes.filter(({ fromMutation }) => !fromMutation),
})

/** What the rules are told of a request beside its object. */
const told = (request: AdmissionRequest, policy: Policy, phase: Phase): Omit<RuleCircumstances, 'view'> => {
  const dryRun = request.dryRun ?? false
  return {
    policy,
    dryRun,
    batch: policy.dryRun.batchFieldManagers.has(request.options?.fieldManager ?? ''),
    // Claims are made in mutation, and a dry run leaves none.
    claimed: phase === 'validation' && !dryRun,
    now: new Date(),
    denialsOnly: phase === 'mutation',
  }
}

/**
 * Asks the rules about the subject of a request. Nothing is denied on hearsay: what a denial rests on is read afresh, and the rules
 * are asked again.
 */
export const judge = async (
  subject: Subject,
  request: AdmissionRequest,
  phase: Phase,
  { cluster, policy, signal }: Circumstances,
): Promise<Verdict> => {
  const common = told(request, policy, phase)
  const question = (view: ClusterView): Verdict => {
    const circumstances = { ...common, view }
    const verdict =
      subject.kind === 'Service'
        ? judgeService(subject.object, subject.before, circumstances)
        : judgeVirtualService(subject.object, subject.before, circumstances)
    return phase === 'mutation' ? withoutItsOwn(verdict) : verdict
  }
  return cluster.decide(question, isDenied, signal)
}

/** Asks the rules about the deletion of a Service. Nothing refuses it, so that nothing is read afresh. */
export const judgeDeletion = (
  service: Service,
  request: AdmissionRequest,
  { cluster, policy, signal }: Circumstances,
): Promise<readonly Outcome[]> => {
  const common = told(request, policy, 'validation')
  return cluster.ask((view) => judgeServiceDeletion(service, { ...common, view }), signal)
}

/** `Service shop/orders`: a subject in a sentence. */
export const describe = ({ kind, object }: Subject): string => `${kind} ${formatName(object)}`
