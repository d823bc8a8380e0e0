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
  readonly youPaid: string;
  /** The label of the amount in an order that must not be paid any more. */
  readonly amount: string;
  readonly bank: string;
  readonly youReceive: string;
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
  readonly minutesAndSeconds: (minutes: number, seconds: number) => string;
  readonly howTo: readonly string[];
  readonly paid: string;
  readonly cancel: string;
  readonly cancelWarning: string;
  readonly cancelConfirm: string;
  readonly states: Readonly<Record<OrderState, { readonly title: string; readonly text: string }>>;
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
    youPaid: 'Amount paid',
    amount: 'Order amount',
    bank: 'Bank',
    youReceive: 'MTC bought',
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
    minutesAndSeconds: (minutes, seconds) => `${minutes} min ${seconds} s`,
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
        text: 'The seller is checking it and will release the MTC in a moment. This page updates by itself.',
      },
      RELEASED: { title: 'Completed', text: 'The MTC have been released. You can close this page.' },
      CANCELLED: { title: 'Cancelled', text: 'This order was cancelled. Please do not pay for it any more.' },
      EXPIRED: {
        title: 'Expired',
        text: 'The time to pay is over. Please do not pay for this order any more. If you have paid already, turn to the merchant with the order number.',
      },
    },
    notFound: 'There is no such order.',
    notFoundText: 'Please open the link again exactly as you received it.',
  },
  zh_CN: SIMPLIFIED_CHINESE,
  zh_TW: TRADITIONAL_CHINESE,
};
