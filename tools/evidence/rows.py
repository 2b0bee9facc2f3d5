"""The runs: every row with all options that matter, in the order in which the rows run, seed by seed.

Each row states its options in full, so that no later change of a default changes its meaning. A line of docs/evidence
counts only while its options match those of its row here.
"""
import dataclasses

# ---- options that rows share
CPU = ("--eval-every", "0", "--device", "cpu", "--log-every", "1")
# 10,000 images, 390 steps of 256, a ResNet-18 of width 16.
PROXY = ("--config", "cifar10_simclr_short", "--dataset", "cifar10", "--limit", "10000", "--epochs", "10", *CPU)
# All 50,000 images: 1,950 steps.
FULL = ("--config", "cifar10_simclr_short", "--dataset", "cifar10", "--limit", "0", "--epochs", "10", *CPU)
# 8,000 rendered images, 620 steps of 128, width 8; the same on CIFAR-10's images as backgrounds.
CONFOUNDED = ("--config", "confounded_shapes_simclr", "--limit", "8000", "--width", "8", "--epochs", "10", *CPU)
SHAPES = ("--dataset", "confounded_shapes", "--confounded_shapes.confounding", "0.9", *CONFOUNDED)
COMPOSITES = ("--dataset", "composites", "--composites.confounding", "0.9", *CONFOUNDED)

# ---- the objectives; "--x.name value" is written as x("name value", ...)


def own(prefix, *options):
    words = [option.split() for option in options]
    return tuple(word for name, value in words for word in (f"--{prefix}.{name}", value))


DSA = own("dsa", "base simclr", "preset dsa-paper", "lambda1 1", "lambda2 0.01", "tau_w 0.5", "am_mode concat",
          "am_act sigmoid", "cross true", "detach_M_in_adj off", "detach_z_in_am on", "score good_neighbor", "eta 20",
          "mu 1", "prior_net stage1", "prior_norm running", "prior_stem file", "prior_temperature calibrated",
          "calibration_batches 50", "quantile 0.1", "prior_reduce sum4", "warmup 0", "ramp 0")
EMA = own("dsa", "prior_net ema", "prior_momentum 0.99")
MRCL = own("mrcl", "base simclr", "alpha 0.25", "rec_variance on", "mask_ratio 0.25", "mask_patch 4", "mask_fill mean",
           "mask_views one_asym", "rec_input pooled", "rec_target unmasked", "rec_region all", "rec_norm l2",
           "decoder_width 16", "recalibrate 200")
ICL_MSR = own("icl_msr", "base simclr", "lambda 1", "normalize on", "strata 8", "average likelihood", "hidden 256",
              "every 4", "virtual_lr 0", "second_order exact", "meta_optimizer adam", "meta_lr 0.001", "gamma 0.001",
              "outer_views fresh", "build features", "train meta", "initial_deviation 0.5")
FIXED = own("icl_msr", "train fixed", "build table")
UNTRAINED = own("icl_msr", "train fixed")  # removes the meta step and nothing else
# Heads as in the CIFAR-10 rows of reproduce.py.
METAMASK = own("metamask", "lambda 0.005", "contrastive_weight 100", "temperature 0.2", "redundancy_hidden 512",
               "redundancy_output 512", "contrastive_hidden 512", "contrastive_output 128", "meta on", "sigmoid on",
               "second_order exact", "virtual_step momentum", "meta_loss contrastive", "meta_batch same", "fused off",
               "mask_lr 0.05", "mask_momentum 0.9", "mask_weight_decay 5e-4", "mask_use own") + ("--lr", "0.006")
MASK_1 = own("metamask", "meta off")
BARLOW_TWINS = own("barlow_twins", "lambda 0.0051", "scale 0.1", "hidden 512", "output 512") + ("--lr", "0.4")

# ---- what step "search" chooses
# Whether the values below are the search's. Until they are, a command without --step, --only or --seeds
# stops after the search.
SEARCHED = True
DSA_BEST = own("dsa", "lambda1 0.3", "quantile 0.02", "mu 0", "warmup 0.1", "ramp 0.1")
METAMASK_BEST = ()
METAMASK_MOVING = own("metamask", "mask_lr 5", "mask_weight_decay 0")  # the best form's mask stays at 0.5
MRCL_BEST = own("mrcl", "mask_patch 8", "alpha 1")
ICL_MSR_BEST = ()
ICL_MSR_FIXED = FIXED + own("icl_msr", "initial_deviation 4")

# The objective and options of each method, as set above.
METHODS = {"MetaMask": ("metamask", METAMASK), "ICL-MSR": ("icl_msr", ICL_MSR), "MRCL": ("mrcl", MRCL), "DSA": ("dsa", DSA),
           "SimCLR": ("simclr", ()), "Barlow Twins": ("barlow_twins", BARLOW_TWINS)}
# Groups of judgments, see judging.py.
GROUPS = ("home", "transfer", "dense", "claims")
MORE_GROUPS = {"SimCLR": ("corruptions", "episodes", "foreground"), "Barlow Twins": ("corruptions",),
               "MetaMask": ("corruptions",), "DSA": ("episodes",), "ICL-MSR": ("foreground",)}


@dataclasses.dataclass(frozen=True)
class Row:
    name: str  # with the seed, also the name of its run folder
    step: str
    method: str
    options: tuple = ()  # in addition to the method's
    bases: tuple = ()  # rows to compare with: same seed, run on the same machine
    prior: str = ""  # the row whose encoder is --dsa.prior_file; one of the bases
    against: tuple = ()  # rows to compare with if they happen to be of the same machine
    common: tuple = PROXY
    train_minutes: float = 4  # of one core, until a run of the row has finished
    judge_minutes: float = 2
    groups: tuple = ()  # empty: the method's
    last_seed: int = 5  # in step "search": the seed after which the row was out, or chosen

    @property
    def seeds(self):
        return range(101 if self.step == "search" else 1, self.last_seed + 1)

    @property
    def split(self):
        return "val" if self.step == "search" else "test"

    @property
    def judged_by(self):
        return self.groups or GROUPS + MORE_GROUPS.get(self.method, ())

    def pretrain_options(self, seed):
        """Returns the options without paths. The last value of a repeated option counts."""
        objective, options = METHODS[self.method]
        return merged(self.common, ("--objective", objective, "--seed", str(seed)), options, self.options)


def merged(*lists):
    options = {}
    for words in lists:
        options |= dict(zip(words[::2], words[1::2]))
    return [word for pair in options.items() for word in pair]


def dataset_of(options):
    return options[options.index("--dataset") + 1]


# The search halves each group of alternatives after every seed: the better half, rounded down, goes on to the next one until
# one is left. A group is judged by the primary figure of its method (PRIMARIES), the mean over its seeds so far. A single
# seed tells differences of two points, and an even choice among closer ones costs little: the final figures have seeds of
# their own. The names are those that went on.
BEYOND_SEED_101 = {"simclr", "mask_1_w100_t02", "mask_1_w300_t02", "mrcl_both", "mrcl_patch_8", "dsa_stage1_all",
                   "dsa_stage1", "dsa_stage1_quantile", "more_mrcl_alpha_1", "more_mrcl_alpha_1_ratio_01",
                   "more_dsa_quantile_0005", "more_dsa_lambda1_03"}


def _search():
    def row(name, method, options=(), minutes=4.0, prior="", against=()):
        base = () if name == "simclr" else ("search_simclr",)
        return Row(f"search_{name}", "search", method, options, base, prior and "search_simclr", against,
                   train_minutes=minutes, last_seed=102 if name in BEYOND_SEED_101 else 101)

    def mask_1(name, weight, temperature, lr):
        balance = own("metamask", f"contrastive_weight {weight}", f"temperature {temperature}")
        return row(f"mask_1_{name}", "MetaMask", MASK_1 + balance + ("--lr", lr), 5)

    def dsa(name, *options):
        return row(f"dsa_stage1{name}", "DSA", own("dsa", *options), 6, "stage1")

    def mrcl(name, *options):
        return row(f"mrcl_{name}", "MRCL", own("mrcl", *options), 5)

    def icl(name, *options, also=()):
        return row(f"icl_{name}", "ICL-MSR", ("--lr", "0.06") + also + own("icl_msr", *options), 8)

    def shapes(name, method, *options, minutes=5):
        base = () if method == "SimCLR" else ("search_shapes_simclr",)
        return Row(f"search_shapes_{name}", "search", method, options, base, common=SHAPES, train_minutes=minutes,
                   judge_minutes=1, groups=("home", "foreground"), last_seed=102)

    def more(method, name, *options, prior=""):
        return row(f"more_{name}", method, own(METHODS[method][0], *options), 6, prior)

    def metamask(name, *options):
        return Row(f"search_more_metamask_{name}", "search", "MetaMask", options,
                   ("search_simclr", "search_mask_1_w100_t02"), train_minutes=22, last_seed=102)

    # After the base: first cheap rows that are new, then rows tried before, then expensive ones. The groups: mask_1 (which
    # balance), mrcl, dsa, icl_fixed, icl_meta, metamask (which rate of the mask).
    return [
        row("simclr", "SimCLR"),
        mask_1("w100_t02", 100, 0.2, "0.006"), mask_1("w30_t02", 30, 0.2, "0.006"),
        mask_1("w100_t02_lr002", 100, 0.2, "0.02"), mask_1("w300_t02", 300, 0.2, "0.006"),
        mrcl("both", "mask_views both"), mrcl("alpha_006", "alpha 0.06"), mrcl("patch_8", "mask_patch 8"),
        dsa("_all", "quantile 0.02", "mu 0", "warmup 0.1", "ramp 0.1"), dsa("_quantile", "quantile 0.02"), dsa(""),
        dsa("_mu", "mu 0"), dsa("_warmup", "warmup 0.1", "ramp 0.1"),
        row("dsa_ema_running", "DSA", EMA + own("dsa", "prior_temperature running"), 6),
        icl("fixed_4", "initial_deviation 4", also=FIXED), icl("fixed_1", "initial_deviation 1", also=FIXED),
        icl("meta_fresh"), icl("meta_table", "build table", "initial_deviation 1"),
        row("dsa_ema_calibrated", "DSA", EMA, 6), mrcl("one_asym"),
        row("metamask", "MetaMask", (), 15, against=("search_mask_1_w100_t02",)),
        row("metamask_mask_lr_05", "MetaMask", own("metamask", "mask_lr 0.5"), 15, against=("search_mask_1_w100_t02",)),
        # A second round, because the best rows of MRCL and DSA were no more than a point from SimCLR: more of the
        # reconstruction, with the same and with smaller masks; fewer pairs to attract, and a weaker loss. A row goes on if
        # it is above the best one of the first round with its seed.
        more("MRCL", "mrcl_alpha_1", "mask_patch 8", "alpha 1"),
        more("MRCL", "mrcl_alpha_1_ratio_01", "mask_patch 8", "alpha 1", "mask_ratio 0.1"),
        more("DSA", "dsa_quantile_0005", "quantile 0.005", "mu 0", "warmup 0.1", "ramp 0.1", prior="stage1"),
        more("DSA", "dsa_lambda1_03", "lambda1 0.3", "quantile 0.02", "mu 0", "warmup 0.1", "ramp 0.1", prior="stage1"),
        # The mask stayed within 0.02 of 0.5 at a rate of 0.05, so that row says little of what a mask does.
        metamask("mask_lr_5", *own("metamask", "mask_lr 5")), metamask("mask_lr_5_no_decay", *METAMASK_MOVING),
        # ICL-MSR on the images of its primary figure, because CIFAR-10's did not foretell it.
        shapes("simclr", "SimCLR", minutes=3), shapes("icl_meta", "ICL-MSR"),
        shapes("icl_meta_lambda_03", "ICL-MSR", *own("icl_msr", "lambda 0.3")),
        shapes("icl_fixed_4", "ICL-MSR", *ICL_MSR_FIXED),
    ]


def _step1():
    def dsa(name, *options, also=(), prior="", against=()):
        return Row(name, "step1", "DSA", also + own("dsa", *options), ("simclr",), prior, against, train_minutes=6)

    return [
        Row("simclr", "step1", "SimCLR"),
        dsa("dsa_off", "detach_z_in_am off", also=EMA), dsa("dsa_on", also=EMA, against=("dsa_off",)),
        dsa("dsa_best", also=DSA_BEST, prior="simclr", against=("dsa_on", "dsa_lambda1_0")),
        # The prior loss reaches the encoder through the arranging module alone: with detach_z_in_am this would be SimCLR.
        dsa("dsa_lambda1_0", "lambda1 0", "detach_z_in_am off", also=DSA_BEST, prior="simclr"),
    ]


def _step2():
    def mrcl(name, *options, against=()):
        return Row(name, "step2", "MRCL", MRCL_BEST + own("mrcl", *options), ("simclr",), against=against, train_minutes=5)

    neither = "mrcl_neither"  # SimCLR, but judged with re-estimated statistics of batch norm, as MRCL's rows are
    return [mrcl("mrcl", against=("mrcl_mask_alone", "mrcl_reconstruction_alone", neither)),
            mrcl("mrcl_mask_alone", "alpha 0", against=(neither,)),
            mrcl("mrcl_reconstruction_alone", "mask_ratio 0", against=(neither,)),
            mrcl(neither, "alpha 0", "mask_ratio 0")]


def _step5():
    longer = ("full_simclr_x15", "full_simclr_x37")  # about as long as DSA's and MetaMask's runs

    def full(name, method, options=(), minutes=27, prior="", base="full_simclr"):
        bases = () if name == "full_simclr" else tuple(dict.fromkeys(("full_simclr", base)))
        against = () if method == "SimCLR" else longer
        return Row(name, "step5", method, options, bases, prior, against, FULL, minutes)

    return [
        full("full_simclr", "SimCLR"), full("full_dsa", "DSA", DSA_BEST, 30, "full_simclr"),
        full("full_mrcl", "MRCL", MRCL_BEST, 25), full("full_simclr_x15", "SimCLR", ("--epochs", "15"), 30),
        full("full_icl_msr", "ICL-MSR", ICL_MSR_BEST, 40), full("full_mask_1", "MetaMask", METAMASK_BEST + MASK_1, 25),
        full("full_metamask", "MetaMask", METAMASK_BEST, 95, base="full_mask_1"),
        full("full_simclr_x37", "SimCLR", ("--epochs", "37"), 100),
    ]


def _step4():
    def metamask(name, options=(), minutes=22.0, bases=("simclr", "mask_1"), against=()):
        return Row(name, "step4", "MetaMask", options, bases, against=against, train_minutes=minutes)

    rates = ("mask_1_lr_0002", "mask_1_lr_002", "barlow_twins")
    return [
        Row("barlow_twins", "step4", "Barlow Twins", (), ("simclr",), train_minutes=5),
        metamask("mask_1", MASK_1 + ("--lr", "0.006"), 5, ("simclr",)),
        metamask("mask_1_lr_0002", MASK_1 + ("--lr", "0.002"), 5, ("simclr",)),
        metamask("mask_1_lr_002", MASK_1 + ("--lr", "0.02"), 5, ("simclr",)),
        metamask("metamask_best", METAMASK_BEST, against=rates),
        metamask("metamask_moving", METAMASK_MOVING, against=("metamask_permuted", "metamask_first_order")),
        metamask("metamask_permuted", METAMASK_MOVING + own("metamask", "mask_use permuted")),
        metamask("metamask_first_order", METAMASK_MOVING + own("metamask", "second_order none"), 18),
    ]


def _step3():
    def proxy(name, method, options, minutes=8, against=()):
        return Row(name, "step3", method, options, ("simclr",), against=against, train_minutes=minutes)

    def confounded(name, common):
        base, fixed, untrained = f"{name}_simclr", f"{name}_icl_fixed", f"{name}_icl_untrained"
        rest = {"common": common, "groups": ("home", "foreground"), "judge_minutes": 1, "train_minutes": 3}
        return [Row(base, "step3", "SimCLR", (), **rest), Row(fixed, "step3", "ICL-MSR", ICL_MSR_FIXED, (base,), **rest),
                Row(untrained, "step3", "ICL-MSR", ICL_MSR_BEST + UNTRAINED, (base,), **rest),
                Row(f"{name}_icl_meta", "step3", "ICL-MSR", ICL_MSR_BEST, (base,), against=(untrained, fixed), **rest)]

    return [
        *confounded("shapes", SHAPES), *confounded("composites", COMPOSITES),
        proxy("icl_untrained", "ICL-MSR", ICL_MSR_BEST + UNTRAINED), proxy("icl_fixed_4", "ICL-MSR", ICL_MSR_FIXED),
        proxy("icl_meta", "ICL-MSR", ICL_MSR_BEST, against=("icl_untrained", "icl_fixed_4")),
    ]


ROWS = [*_search(), *_step1(), *_step2(), *_step5(), *_step4(), *_step3()]
STEPS = tuple(dict.fromkeys(row.step for row in ROWS))


@dataclasses.dataclass(frozen=True)
class Primary:
    """The figure of a method that was chosen before the runs."""
    method: str
    figure: str
    row: str
    base: str
    why: str


PRIMARIES = [
    Primary("MetaMask", "kNN 200", "metamask_best", "mask_1", "what the mask adds to the same losses without one"),
    Primary("ICL-MSR", "shapes full > re-paired", "shapes_icl_meta", "shapes_simclr",
            "objects on other images' backgrounds, confounded_shapes"),
    Primary("MRCL", "transfer probe", "mrcl", "simclr", "mean of the other data sets' probes"),
    Primary("DSA", "kNN 200", "dsa_best", "simclr", "whether neighbors are of one class"),
]
