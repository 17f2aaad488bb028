import type { Service } from '../api/service.ts'
import type { VirtualService } from '../api/virtual-service.ts'
import type { Emission } from '../istio/emission.ts'
import type { ClusterView } from '../view/view.ts'
import type { Action, RuleFinding } from './finding.ts'
import type { Policy } from './policy.ts'

/**
 * broken: Istio cannot deliver what the object asks for. convention: it would work, the runbook forbids it. security: it takes
 * what is not its own. advice: probably not meant.
 */
export type Kind = 'broken' | 'convention' | 'security' | 'advice'

/** What a rule may ask beside its object. */
export type Context = {
  view: ClusterView
  policy: Policy
  /** Whether each address must have its claim by now: in an admission after mutation, but not in a dry run, which leaves none. */
  claimed: boolean
}

export type ServiceSubject = Context & {
  service: Service
  /** The object that an update replaces. Only what an update does asks for it: what was so before, the engine compares. */
  before: Service | undefined
  isVirtualHost: boolean
}

/** A Service that is deleted. */
export type DeletionSubject = Context & { service: Service }

export type VirtualServiceSubject = Context & { virtualService: VirtualService; emission: Emission }

/** A rule: pure, synchronous, without I/O. What it must know of other objects it asks of the view. */
export type Rule<Subject> = {
  /** Never changes once released. */
  id: string
  kinds: readonly [Kind, ...Kind[]]
  /** The action for virtual hosts and their VirtualServices, and for all others. */
  defaults: { virtualHost: Action; other: Action }
  /** What it finds, as one sentence. */
  finds: string
  /** Why that fails, for the rule's page. */
  why: string
  check(subject: Subject): RuleFinding[]
  /**
   * The same in CEL, where a port of a Service tells by itself: whether the port in this variable breaks the rule. By it the API server
   * refuses such a port while nothing of ours runs (registration/static-policy.ts).
   */
  portInCEL?(port: string): string
}
