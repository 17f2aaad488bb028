import type { AddressRange } from '../api/address.ts'
import { type LabelSelector, matchesLabels } from '../api/label-selector.ts'
import type { Mesh } from '../istio/hosts.ts'
import { type ReservedPort, reservedPorts } from '../istio/ports.ts'
import type { Pool } from '../vip/pool.ts'
import { createPool } from '../vip/pools.ts'
import type { Exemption } from './exemption.ts'
import type { Action } from './finding.ts'
import { rules } from './index.ts'

/** What is done for a rule's findings: on virtual hosts and their VirtualServices, and on all others. */
export type RuleActions = { virtualHost: Action; other: Action }

/** Actions by rule id, for rules in some namespaces. */
export type NamespaceActions = { selector: LabelSelector; actions: ReadonlyMap<string, Partial<RuleActions>> }

/** What is done in a dry run for what would be denied. */
export type DryRunPolicy = {
  /** Another object is not there; it may be applied first. */
  missing: 'warn' | 'deny'
  /** Another object contradicts; it may be changed as well. */
  mismatch: 'warn' | 'deny'
  /** Who applies batches, and dry-runs all of one before any of it exists: for these a mismatch is a warning. */
  batchFieldManagers: ReadonlySet<string>
}

/** The configuration as the rules read it: compiled once, never changed. */
export type Policy = Mesh & {
  /** `labelled`: only Services with label meshvip.dev/virtual-host: "true" are virtual hosts. */
  readonly virtualHosts: 'inferred' | 'labelled'
  /** One at least. */
  readonly pools: readonly Pool[]
  readonly allowedExternalIPs: readonly AddressRange[]
  readonly reservedPorts: ReadonlyMap<number, ReservedPort>
  /** By rule id; every rule has an entry. */
  readonly actions: ReadonlyMap<string, RuleActions>
  /** Other actions for the namespaces that a selector matches; the first that names a rule counts. */
  readonly namespaceActions: readonly NamespaceActions[]
  /** `audit`: whatever is found, everything is admitted and only recorded. */
  readonly enforcement: 'enforce' | 'audit'
  readonly exemptions: readonly Exemption[]
  readonly dryRun: DryRunPolicy
  /** Where the rules' pages are; a finding links to `<docsURL>/<rule>`. */
  readonly docsURL: string
}

/** Fits the runbook as it is: its own pair of objects goes through untouched but for the address. */
export const defaultPolicy: Policy = Object.freeze({
  clusterDomain: 'cluster.local',
  foreignHosts: [],
  rootNamespace: 'istio-system',
  virtualHosts: 'inferred',
  pools: [createPool({ cidr: '240.240.0.0/16' })],
  allowedExternalIPs: [],
  reservedPorts,
  namespaceActions: [],
  enforcement: 'enforce',
  exemptions: [],
  dryRun: {
    missing: 'warn',
    mismatch: 'deny',
    batchFieldManagers: new Set(['kustomize-controller', 'helm-controller', 'argocd-controller']),
  },
  actions: new Map(rules.map(({ id, defaults }) => [id, defaults])),
  docsURL: 'https://meshvip.dev/rules',
} satisfies Policy)

/** What is done for the findings of a rule in a namespace with these labels. */
export const actionFor = (
  { actions, namespaceActions }: Policy,
  rule: string,
  column: keyof RuleActions,
  labels: ReadonlyMap<string, string>,
): Action => {
  for (const { selector, actions: overrides } of namespaceActions) {
    const action = overrides.get(rule)?.[column]
    if (action !== undefined && matchesLabels(selector, labels)) return action
  }
  return actions.get(rule)?.[column] ?? 'off'
}
