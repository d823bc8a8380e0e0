import type { Currency } from '../orders/advertisements.ts';
import type { OrderState } from '../orders/orders.ts';
import type { Language } from '../orders/parameters.ts';
import { SIMPLIFIED_CHINESE, TRADITIONAL_CHINESE } from './texts-chinese.ts';

/** The texts of the checkout in one language. */
export interface Texts {
  readonly htmlLang: string;
  readonly languageName: string;
  readonly languages: string;
  readonly title: string;
  readonly sandboxNotice: string;
  readonly currencies: Readonly<Record<Currency, string>>;
  readonly steps: readonly [transfer: string, confirm: string, release: string];
  readonly progress: string;
  readonly payTo: string;
  readonly orderDetails: string;
  readonly youPay: string;
  /** Labels of the two amounts before they are paid and bought, and afterwards. */
  readonly amount: string;
  readonly ordered: string;
  readonly youPaid: string;
  readonly bought: string;
  readonly bank: string;
  readonly unitPrice: string;
  readonly method: string;
  /** Shown if the seller accepts several payment methods. */
  readonly chooseMethod: string;
  /** Names of the usual payment methods; another one is shown as the seller wrote it. */
  readonly methods: Readonly<Record<string, string>>;
  readonly payee: string;
  readonly account: string;
  readonly payer: string;
  readonly orderNumber: string;
  readonly transactionCode: string;
  readonly payBefore: string;
  readonly timeLeft: string;
  /** With the places `{minutes}` and `{seconds}`. */
  readonly minutesAndSeconds: string;
  /** With the place `{time}`. */
  readonly localTime: string;
  readonly copy: string;
  /** The same for a screen reader; they begin with `copy`. */
  readonly copyAmount: string;
  readonly copyAccount: string;
  readonly copied: string;
  readonly lookAgain: string;
  readonly updatesItself: string;
  readonly backToShop: string;
  readonly howTo: readonly string[];
  readonly paid: string;
  readonly cancel: string;
  readonly cancelWarning: string;
  readonly cancelConfirm: string;
  readonly states: Readonly<Record<OrderState, { readonly title: string; readonly text: string }>>;
  /** For a customer who paid and did not say so in time. */
  readonly late: {
    readonly question: string;
    readonly offer: string;
    /** The report was accepted. */
    readonly reported: string;
    /** The report was recorded, and nothing will be released by itself. */
    readonly refused: { readonly title: string; readonly text: string };
  };
  readonly notFound: string;
  readonly notFoundText: string;
}

export const TEXTS: Readonly<Record<Language, Texts>> = {
  en: {
    htmlLang: 'en',
    languageName: 'English',
    languages: 'Language',
    title: 'Buy MTC',
    sandboxNotice: 'Sandbox: no real money moves here.',
    currencies: { CNY: 'Chinese yuan', HKD: 'Hong Kong dollar', TWD: 'New Taiwan dollar' },
    steps: ['Transfer', 'Confirm', 'Release'],
    progress: 'Progress of this order',
    payTo: 'Pay to this account',
    orderDetails: 'Order details',
    youPay: 'Amount to pay',
    amount: 'Order amount',
    ordered: 'MTC ordered',
    youPaid: 'Amount paid',
    bought: 'MTC bought',
    bank: 'Bank',
    unitPrice: 'Unit price',
    method: 'Payment method',
    chooseMethod: 'Use one of these, whichever suits you.',
    methods: {
      'bank transfer': 'Bank transfer',
      Alipay: 'Alipay',
      'WeChat Pay': 'WeChat Pay',
      FPS: 'FPS (Faster Payment System)',
    },
    payee: 'Payee',
    account: 'Account',
    payer: 'Payer',
    orderNumber: 'Order number',
    transactionCode: 'Transaction code',
    payBefore: 'Pay before',
    timeLeft: 'Time left to pay',
    minutesAndSeconds: '{minutes} min {seconds} s',
    localTime: '{time}, your time',
    copy: 'Copy',
    copyAmount: 'Copy the amount',
    copyAccount: 'Copy the account',
    copied: 'Copied',
    lookAgain: 'Look again',
    updatesItself: 'This page updates by itself.',
    backToShop: 'Back to the shop',
    howTo: [
      'Transfer exactly this amount, in one payment.',
      'Use an account in the payer’s own name.',
      'Then come back to this page and confirm.',
    ],
    paid: 'I have paid',
    cancel: 'Cancel the order',
    cancelWarning: 'If you have transferred the money already, do not cancel: the seller could no longer match it.',
    cancelConfirm: 'Yes, cancel this order',
    states: {
      WAITING: { title: 'Waiting for your payment', text: 'The price is held for you until the time is over.' },
      PAID: {
        title: 'Payment reported',
        text: 'The seller is checking it and will release the MTC when the money has arrived.',
      },
      RELEASED: { title: 'Completed', text: 'The MTC have been released. You can close this page.' },
      CANCELLED: {
        title: 'Cancelled',
        text: 'This order was cancelled. Please do not pay for it any more. If you have paid already, turn to the merchant with the order number.',
      },
      EXPIRED: {
        title: 'Expired',
        text: 'The time to pay is over. Please do not pay for this order any more.',
      },
    },
    late: {
      question: 'Have you paid already?',
      offer:
        'Then say so here. The seller looks for your money. If it has arrived, the MTC are released late and the merchant is notified. If it has not, turn to the merchant with the order number.',
      reported:
        'You reported it after the time to pay. The seller is looking for the money and will release the MTC when it has arrived.',
      refused: {
        title: 'Payment reported too late',
        text: 'Your report is recorded, but the seller has no MTC left for this order, so none will be released by itself. Please do not pay again. Turn to the merchant with the order number.',
      },
    },
    notFound: 'There is no such order.',
    notFoundText: 'Please open the link again exactly as you received it.',
  },
  zh_CN: SIMPLIFIED_CHINESE,
  zh_TW: TRADITIONAL_CHINESE,
};
